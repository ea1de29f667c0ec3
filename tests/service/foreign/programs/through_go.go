// The conversation with Go's ugorji/go/codec: each message is written and read here.
package main

import (
	"encoding/json"
	"net"
	"os"
	"reflect"
	"strings"

	"github.com/ugorji/go/codec"
)

type object map[string]interface{}

type client struct {
	encoder *codec.Encoder
	decoder *codec.Decoder
	last    uint64
	answers map[uint64][]interface{}
	events  []interface{}
}

func (c *client) ask(method string, params object) uint64 {
	c.last++
	c.encoder.MustEncode([]interface{}{0, c.last, method, []interface{}{params}})
	return c.last
}

func (c *client) listen() {
	var message []interface{}
	c.decoder.MustDecode(&message)
	switch kind := number(message[0]); {
	case kind == 1:
		c.answers[number(message[1])] = message[2:]
	case message[1] == "sim.event":
		c.events = append(c.events, message[2].([]interface{})[0])
	}
}

// answer gives the error and the result.
func (c *client) answer(id uint64) (interface{}, object) {
	for c.answers[id] == nil {
		c.listen()
	}
	result, _ := c.answers[id][1].(map[string]interface{})
	return c.answers[id][0], result
}

func (c *client) call(method string, params object) object {
	refused, result := c.answer(c.ask(method, params))
	if refused != nil {
		panic(refused)
	}
	return result
}

func (c *client) ended() interface{} {
	for {
		for _, event := range c.events {
			if event.(map[string]interface{})["data"].(map[string]interface{})["state"] == "ended" {
				return event
			}
		}
		c.listen()
	}
}

// number makes one type of all those in which an int arrives.
func number(value interface{}) uint64 {
	if signed, is := value.(int64); is {
		return uint64(signed)
	}
	return value.(uint64)
}

func main() {
	parts := strings.SplitN(os.Args[1], ":", 2)
	connection, err := net.Dial(parts[0], parts[1])
	if err != nil {
		panic(err)
	}
	handle := &codec.MsgpackHandle{WriteExt: true}
	handle.RawToString = true
	handle.MapType = reflect.TypeOf(map[string]interface{}{})
	c := &client{
		encoder: codec.NewEncoder(connection, handle),
		decoder: codec.NewDecoder(connection, handle),
		answers: map[uint64][]interface{}{},
	}
	var scenario object
	if err := json.Unmarshal([]byte(os.Args[2]), &scenario); err != nil {
		panic(err)
	}
	for name, value := range scenario {
		if real, is := value.(float64); is { // JSON knows no ints, the service no 2.0 for a 2
			scenario[name] = int64(real)
		}
	}

	told := object{"hello": c.call("hello", object{"client": "go"})}
	session := object{"session": c.call("sim.create", object{"scenario": scenario})["session"]}
	c.call("sim.subscribe", object{"session": session["session"], "topics": []string{"state"}})
	told["ended"] = c.call("sim.run_until", session)
	told["event"] = c.ended()
	told["result"] = c.call("sim.result", session)["result"]

	told["unknown_session"], _ = c.answer(c.ask("sim.stats", object{"session": "nobody"}))
	told["unknown_key"], _ = c.answer(c.ask("sim.stats", object{"sesion": session["session"]}))

	scenario["until_ns"] = nil
	endless := object{"session": c.call("sim.create", object{"scenario": scenario})["session"]}
	run := c.ask("sim.run_until", endless)
	running := c.call("sim.stats", endless)
	for number(running["events"]) == 0 {
		running = c.call("sim.stats", endless)
	}
	told["running"] = running
	told["paused"] = c.call("sim.pause", endless)
	_, told["run"] = c.answer(run)
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		panic(err)
	}
}

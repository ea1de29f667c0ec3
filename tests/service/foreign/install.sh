#!/bin/sh
# Install npm's clients into the folder that is named, where node and npm are; without them say so and end well.
# Nothing but that folder is written, and no script of a package is run.
set -u
here=$(dirname "$0")
into=$1

skip() {
    echo "foreign clients: $1; their tests will be skipped"
    exit 0
}

command -v node >/dev/null || skip "there is no node"
command -v npm >/dev/null || skip "there is no npm"
mkdir -p "$into"
cp "$here/package.json" "$into/"
echo "foreign clients: installing npm's into $into (once)"
(
    cd "$into" &&
        npm install --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error \
            --cache=cache --logs-max=0 --fetch-retries=1 --fetch-retry-mintimeout=2000 --fetch-timeout=60000
) >"$into/npm.log" 2>&1 || {
    head -n 3 "$into/npm.log"
    rm -rf "$into/node_modules" "$into/cache"
    skip "npm could not install them"
}
rm -rf "$into/cache"
touch "$into/.stamp"

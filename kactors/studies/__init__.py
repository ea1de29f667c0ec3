"""What the review mail reports and asks, as questions to the model: each study is scenarios, their figures, a text."""

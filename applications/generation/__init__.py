"""What the tasks that draw pictures share: scores, walks through codes, and sets of pictures."""

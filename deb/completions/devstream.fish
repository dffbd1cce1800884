# Completes devices too: devstream is run at each TAB.
devstream completions fish | source

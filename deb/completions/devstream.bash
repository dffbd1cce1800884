# Completes devices too: devstream is run at each TAB.
source <(devstream completions bash)

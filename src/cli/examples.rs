//! An example or two of each command, for its help and its manual page.

use clap::Command;

/// What is typed, and what that does. An example belongs to the subcommand that it runs.
const EXAMPLES: &[(&str, &str)] = &[
    ("devstream hub", "A hub for this machine and user, on port 8443"),
    ("devstream hub --listen '[::]:443' --hostname hub.example.com", "A hub that other machines reach by that name"),
    ("devstream hub device add pi-42", "Let a device join; prints the line to paste there"),
    ("devstream hub device list", "Who may wait here, and who is online"),
    ("devstream hub device show pi-42", "One device, with its keys"),
    ("devstream hub device disable pi-42", "Keep it out; its streams end at once"),
    ("devstream hub device enable pi-42", "Let it in again"),
    ("devstream hub device rotate pi-42 --overlap 1d", "A new key, with the old one good for another day"),
    ("devstream hub device remove pi-42", "Forget it"),
    (
        "devstream hub service add alice --device 'plant-a-*' --stream ssh --for 8h",
        "Let alice reach ssh there for a shift",
    ),
    ("devstream hub service set alice --device 'plant-*' --for ever", "Let her reach more, for good"),
    ("devstream hub service list", "Who may ask for streams"),
    ("devstream hub service show alice", "What one service may reach, with its keys"),
    ("devstream hub service disable alice", "Keep it out; its streams end at once"),
    ("devstream hub service enable alice", "Let it in again"),
    ("devstream hub service rotate alice --overlap 0s", "A new key; the old one is void as soon as it joins"),
    ("devstream hub service remove alice", "Forget it"),
    ("devstream hub enroll add --device 'plant-a-*' --uses 500 --for 30d", "One secret with which 500 devices join"),
    ("devstream hub enroll list", "Which of them hold, and how often they were used"),
    ("devstream hub enroll remove 1", "Void one; who joined with it stays"),
    ("devstream hub devices", "Who is online, since when, from where"),
    ("devstream hub streams", "The streams that run"),
    ("devstream hub streams list --json", "The same for a program"),
    ("devstream hub streams kill 00112233445566778899aabbccddeeff", "End one of them"),
    ("devstream hub status", "How the hub is"),
    ("devstream hub show", "Its address and pin, for a program"),
    ("devstream hub check-config", "Every mistake in the configuration file, before a restart"),
    ("devstream hub logs --since 1h --device pi-42", "What happened with one device in the last hour"),
    ("devstream hub logs --follow --json", "What happens, as it does"),
    ("devstream hub backup /var/backups/hub.backup", "Identities, keys and certificates in one file"),
    ("devstream hub restore /var/backups/hub.backup", "A hub out of that file, where none is"),
    ("devstream join", "Paste the line that the hub printed, and press Ctrl-D"),
    ("devstream join --profile plant", "The same for a second hub, beside the first"),
    ("devstream device-agent --forward 22 --forward web=8080", "Offer ssh and a web server of this machine"),
    (
        "devstream device-agent --forward db=10.0.0.5:5432 --allow-service alice",
        "Offer a neighbour's port, to alice only",
    ),
    ("devstream service-proxy --device pi-42 --local 2222", "Then: ssh -p 2222 localhost"),
    ("devstream service-proxy --device pi-42 --local 13389=rdp --local 0=web", "Two ports for two of its streams"),
    ("devstream service-proxy --device pi-42 --stdio", "For ssh's ProxyCommand"),
    ("devstream service install device-agent -- --forward 22", "As root, from now on and after each start"),
    (
        "devstream service install --profile plant service-proxy --print -- --device pi-42 --local 2222",
        "Look at the units first",
    ),
    ("devstream service uninstall device-agent", "Stop it and remove its units"),
    ("devstream demo", "All three roles at once; then: ssh -p 2222 localhost"),
    ("devstream devices", "The devices that I may reach"),
    ("devstream devices --json --profile plant", "The same at another hub, for a program"),
    ("devstream check --device pi-42", "Every hop on the way there, and what to do about one that fails"),
    ("devstream check --forward 22", "On a device: the way to the hub, and whether its target answers"),
    ("devstream hub check", "Whether others can reach the hub, and for how long"),
    ("devstream status", "What of mine runs here, and how it is"),
    ("devstream ssh pi-42", "A shell there"),
    ("devstream ssh root@pi-42 -- uptime", "One command, with its exit code"),
    ("devstream ssh-config --install", "Once; then: ssh pi-42.devstream, scp, rsync, Ansible"),
    ("devstream ssh-config --uninstall", "Take that back"),
    ("devstream rdp pi-42", "Its desktop, in the client that is installed"),
    ("devstream rdp --no-client pi-42", "An address and an .rdp file for another client"),
    ("devstream profiles", "What this machine has joined, and which holds where none is named"),
    ("devstream profiles use plant", "Be that one from now on"),
    ("devstream profiles remove plant", "Forget its identities and their keys"),
    ("devstream config init", "Write a file to begin with; then edit it"),
    ("devstream config show service-proxy", "What a service-proxy would do, and why"),
    ("devstream config show hub --json -- --listen '[::]:443'", "The same with flags, for a program"),
    ("devstream completions bash", "In ~/.bashrc: source <(devstream completions bash)"),
    ("devstream completions fish", "In config.fish: devstream completions fish | source"),
    ("devstream completions zsh --static", "A script for a package, to be named _devstream"),
];

/// The examples of the command with these names: its own, else the first of each of its subcommands.
pub fn examples(root: &Command, names: &[String]) -> Vec<(&'static str, &'static str)> {
    let own: Vec<_> = EXAMPLES.iter().copied().filter(|(typed, _)| subcommand_path(root, typed) == names).collect();
    if !own.is_empty() {
        return own;
    }
    let here = names.iter().try_fold(root, |command, name| command.find_subcommand(name));
    let below = here.into_iter().flat_map(Command::get_subcommands);
    let first = |below: &Command| examples(root, &[names, &[below.get_name().to_owned()]].concat()).first().copied();
    below.filter_map(first).collect()
}

/// The same command line, with the examples in its help.
pub(super) fn with_examples(command: Command) -> Command {
    let root = command.clone();
    add_examples(command, &root, &[])
}

fn add_examples(command: Command, root: &Command, names: &[String]) -> Command {
    let lines = examples(root, names).into_iter().map(|(typed, meaning)| format!("\n  {typed}\n      {meaning}"));
    let further = command.get_after_long_help().map(|text| format!("\n\n{text}")).unwrap_or_default();
    let command = command.after_long_help(format!("Examples:{}{further}", lines.collect::<String>()));
    command.mut_subcommands(|below| {
        let names = [names, &[below.get_name().to_owned()]].concat();
        add_examples(below, root, &names)
    })
}

/// The names of the subcommand that a line runs.
fn subcommand_path(root: &Command, typed: &str) -> Vec<String> {
    let (mut names, mut here) = (Vec::new(), root);
    for word in typed.split(' ').skip(1) {
        let Some(below) = here.find_subcommand(word) else { break };
        names.push(below.get_name().to_owned());
        here = below;
    }
    names
}

//! Examples of each command, for its help and its man page.

use clap::Command;

/// Command lines and their effect. An example belongs to the subcommand that it runs.
const EXAMPLES: &[(&str, &str)] = &[
    ("devstream hub", "Run a hub for this machine and user, on port 8443"),
    (
        "devstream hub --listen '[::]:443' --hostname hub.example.com",
        "Run a hub that other machines reach by that name",
    ),
    ("devstream hub device add pi-42", "Let a device join; prints the command to paste there"),
    ("devstream hub device list", "List the devices, and which are online"),
    ("devstream hub device show pi-42", "Show a device and its keys"),
    ("devstream hub device disable pi-42", "Disable it; its streams end at once"),
    ("devstream hub device enable pi-42", "Enable it again"),
    ("devstream hub device rotate pi-42 --overlap 1d", "Replace its key; the old one stays valid for a day"),
    ("devstream hub device remove pi-42", "Remove it"),
    (
        "devstream hub service add alice --device 'plant-a-*' --stream ssh --for 8h",
        "Let alice reach ssh there for eight hours",
    ),
    ("devstream hub service set alice --device 'plant-*' --for ever", "Let her reach more, without a time limit"),
    ("devstream hub service list", "List the services"),
    ("devstream hub service show alice", "Show what a service may reach, and its keys"),
    ("devstream hub service disable alice", "Disable it; its streams end at once"),
    ("devstream hub service enable alice", "Enable it again"),
    ("devstream hub service rotate alice --overlap 0s", "Replace its key; the old one ends when the new one joins"),
    ("devstream hub service remove alice", "Remove it"),
    ("devstream hub enroll add --device 'plant-a-*' --uses 500 --for 30d", "Let 500 devices join with one secret"),
    ("devstream hub enroll list", "List the keys, and how often each was used"),
    ("devstream hub enroll remove 1", "Revoke one; devices that joined with it stay"),
    ("devstream hub devices", "List who is online, since when, from where"),
    ("devstream hub streams", "List the running streams"),
    ("devstream hub streams list --json", "The same as JSON"),
    ("devstream hub streams kill 00112233445566778899aabbccddeeff", "End one of them"),
    ("devstream hub status", "Show the hub's status"),
    ("devstream hub show", "Print its address and pin as JSON"),
    ("devstream hub check-config", "Find every error in the configuration file before a restart"),
    ("devstream hub logs --since 1h --device pi-42", "Print what happened to a device in the last hour"),
    ("devstream hub logs --follow --json", "Print events as they happen"),
    (
        "devstream hub cluster init --nats tls://n1.example.com,tls://n2.example.com,tls://n3.example.com --nats-creds hub.creds --name h1.hub.example.com",
        "Make this hub the first of several",
    ),
    ("devstream hub cluster invite", "Print the link for one more hub"),
    ("devstream hub cluster join --name h2.hub.example.com", "Make that hub on this machine; paste the link"),
    ("devstream hub cluster status", "Show the hubs: state, devices, streams"),
    ("devstream hub cluster restore", "Put this hub's identities into a store that has lost them"),
    ("devstream hub cluster leave", "Make this hub one that is alone again"),
    ("devstream hub backup /var/backups/hub.backup", "Back up identities, keys and certificates"),
    ("devstream hub restore /var/backups/hub.backup", "Restore a hub from that file"),
    ("devstream join", "Paste the join link that the hub printed, and press Enter"),
    ("devstream join --profile plant", "Join a second hub, beside the first"),
    ("devstream device-agent --forward 22 --forward web=8080", "Offer ssh and a web server of this machine"),
    (
        "devstream device-agent --forward db=10.0.0.5:5432 --allow-service alice",
        "Offer a port of another machine, to alice only",
    ),
    ("devstream service-proxy pi-42 --local 2222", "Then: ssh -p 2222 localhost"),
    ("devstream service-proxy pi-42 --local 13389=rdp --local 0=web", "Two ports for two of its streams"),
    ("devstream service-proxy pi-42 --stdio", "For ssh's ProxyCommand"),
    ("devstream service install device-agent -- --forward 22", "Run the role now and at each boot, as root"),
    (
        "devstream service install --profile plant service-proxy --print -- --device pi-42 --local 2222",
        "Print the units first",
    ),
    ("devstream service uninstall device-agent", "Stop it and remove its units"),
    ("devstream demo", "All three roles at once; then: ssh -p 2222 localhost"),
    ("devstream devices", "List the devices that you may reach"),
    ("devstream devices --json --profile plant", "The same at another hub, as JSON"),
    ("devstream check --device pi-42", "Check every hop to the device, and what to do about one that fails"),
    ("devstream check --forward 22", "Check the path to the hub from a device, and its target"),
    ("devstream hub check", "Check that others can reach the hub"),
    ("devstream status", "Show the roles that run here"),
    ("devstream ssh pi-42", "Open a shell on the device"),
    ("devstream ssh root@pi-42 -- uptime", "Run one command, and exit with its code"),
    ("devstream ssh-config --install", "Run once; then: ssh pi-42.devstream, scp, rsync, Ansible"),
    ("devstream ssh-config --uninstall", "Undo that"),
    ("devstream rdp pi-42", "Open its desktop in the installed client"),
    ("devstream rdp --no-client pi-42", "Print an address and an .rdp file for another client"),
    ("devstream profiles", "List the profiles; * marks the default"),
    ("devstream profiles use plant", "Make that one the default"),
    ("devstream profiles remove plant", "Delete its identities and their keys"),
    ("devstream profiles set --hub hub.example.com", "Find a hub that has moved"),
    ("devstream identity", "Show this machine's end-to-end key, for others to compare"),
    ("devstream trust list", "List the peers whose end-to-end keys this machine knows"),
    (
        "devstream trust pin device pi-42 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "Know it by the key that `devstream identity` shows there",
    ),
    ("devstream trust forget device pi-42", "Keep the key that it shows next"),
    (
        "devstream trust fleet 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "Refuse every peer whose key this fleet has not signed",
    ),
    ("devstream trust reset --role device", "Forget the keys of all services that this device knows"),
    ("devstream fleet init", "Make a fleet on your own machine, not the hub's"),
    ("devstream fleet invite", "Paste the link that the hub printed, and give the machine the one that this prints"),
    ("devstream fleet sign", "Sign all machines that joined with invitations, and renew what ends soon"),
    (
        "devstream fleet sign pi-42 --key 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "Sign the key that `devstream identity` shows on pi-42; prints the command to run there",
    ),
    ("devstream fleet forget pi-42", "Renew it no more, and end its invitations"),
    ("devstream fleet list", "List what was signed, and until when"),
    ("devstream fleet recover /media/usb/recovery", "Sign with the recovery key, where the fleet key was lost"),
    ("devstream config init", "Write a commented file to edit"),
    ("devstream config show service-proxy", "Print a service-proxy's settings, and where each comes from"),
    ("devstream config show hub --json -- --listen '[::]:443'", "The same with flags, as JSON"),
    ("devstream completions bash", "In ~/.bashrc: source <(devstream completions bash)"),
    ("devstream completions fish", "In config.fish: devstream completions fish | source"),
    ("devstream completions zsh --static", "Print a script for a package, to be named _devstream"),
];

/// Returns the examples of the command with these names: its own, else the first of each of its subcommands.
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

/// Adds the examples to the help of each command.
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

/// Returns the names of the subcommand that a line runs.
fn subcommand_path(root: &Command, typed: &str) -> Vec<String> {
    let (mut names, mut here) = (Vec::new(), root);
    for word in typed.split(' ').skip(1) {
        let Some(below) = here.find_subcommand(word) else { break };
        names.push(below.get_name().to_owned());
        here = below;
    }
    names
}

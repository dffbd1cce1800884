# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_devstream_global_optspecs
    string join \n v/verbose q/quiet log-format= profile= h/help V/version
end

function __fish_devstream_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_devstream_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_devstream_using_subcommand
    set -l cmd (__fish_devstream_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c devstream -n "__fish_devstream_needs_command" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_needs_command" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_needs_command" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_needs_command" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_needs_command" -s V -l version -d 'Print version'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "hub" -d 'Run the meeting point, or manage the one that is running'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "join" -d 'Enrol this machine with the line that a hub printed'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "device-agent" -d 'Run the device\'s end: dial out to the hub, wait, and connect streams to local targets'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "service-proxy" -d 'Run the operator\'s end: local ports whose connections become streams to a device'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "service" -d 'Run a role as a service of this machine, under systemd'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "demo" -d 'Show it all at once: hub, device-agent and service-proxy in one process, on loopback'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "devices" -d 'List the devices that I may reach: online, last seen, what they offer'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "check" -d 'Check every hop on the way, and say which one fails, why, and what to do next'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "status" -d 'Show what of this user runs on this machine, to which hub, and as whom'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "ssh" -d 'Run OpenSSH\'s `ssh` to a device'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "ssh-config" -d 'Print what lets OpenSSH reach every device by its name, as in `ssh pi-42.devstream`'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "rdp" -d 'Open a device\'s desktop: a local port, an .rdp file, and a remote desktop client'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "profiles" -d 'List the hubs and identities that this machine joined with, or choose among them'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "config" -d 'Write a configuration file to begin with, or print what holds'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "completions" -d 'Print a completion script, to be run by the shell when it starts'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l listen -d 'Where to listen; port 0 takes any free port [default: [::]:8443]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l hostname -d 'What other machines call this one; the first goes into join links, all into the certificate' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l tls-cert -d 'Show this certificate (PEM, with those that lead to its authority) for the names it covers' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l tls-key -d 'Its private key (PEM, unencrypted), which nobody else may read' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l acme-directory -d 'The authority\'s directory' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l acme-contact -d 'Where the authority can write to, as mailto:NAME@HOST' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l acme-ca -d 'Trust the directory\'s own certificate if an authority in this PEM file signed it, instead of the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l via -d 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l via-login -d 'The file with the proxy\'s USER:PASSWORD, which nobody else may read' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l streaming-endpoint -d 'Give streams a URL of their own, instead of the hub\'s' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l streaming-listen -d 'Where that URL\'s listener listens' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l handshake-timeout -d 'How long a stream\'s handshake may take, and a stream token is good for; at most 60' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l drain-timeout -d 'How long running streams may go on after a first SIGTERM or Ctrl-C' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l metrics -d 'Where monitoring finds /metrics (OpenMetrics, as Prometheus reads it), /healthz and /readyz: plain HTTP, for a private network only' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l dead-after -d 'Give up a connection on which nothing was heard for so long; from 4 s to a day' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l standbys -d 'Keep at most so many connections ready for streams, once there are streams, so that they open at once; 0 keeps none' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l resume-grace -d 'How long a stream may be interrupted before its local connections are reset, such as 30s, 2m or 8h; at most a day' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l memory-budget -d 'Memory at whose brink new streams are refused, then new connections, such as 512MiB [default: what the control group or `ulimit -v` allows]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l tls-timeout -d 'From a connection until its TLS is done' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l head-timeout -d 'Until a request\'s head is there, and how long a connection may idle between two' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l auth-timeout -d 'Until a connection has proved who it is' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-head -d 'A request\'s line and headers' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-head-fields -d 'A request\'s header fields' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-unauthenticated -d 'Connections that have not proved who they are; from half of them on, some are turned away at random' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-unauthenticated-per-source -d 'Connections from one IPv4 address or IPv6 /64 that have not proved who they are' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-pending -d 'Handshakes under way' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-pending-per-device -d 'Handshakes under way to one device' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-pending-per-service -d 'Handshakes under way for one service' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-streams -d 'Streams' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-streams-per-device -d 'Streams to one device' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l max-streams-per-service -d 'Streams for one service' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l penalty-threshold -d 'Wrong proofs count 5 s, loitering 10 s, nonsense 1 s against their source; from this sum on it is kept away' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l penalty-max -d 'A source is kept away no longer than this; one that holds good connections is slowed instead' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l penalty-exempt -d 'A network that is never penalised, such as 10.0.0.0/8 (repeatable)' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l activity-rotate-size -d 'Put the activity log\'s file aside, and begin a new one, before it grows beyond this' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l activity-rotate-age -d 'Put the file aside as well once its first line is this old' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l activity-keep-size -d 'Delete the oldest files, so that all of them never take more than this; at least twice the rotate size' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l activity-keep-age -d 'Delete files that were put aside longer ago than this' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l acme -d 'Get a certificate for every --hostname by ACME, and agree to the authority\'s terms'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l allow-tls-inspection -d 'Let clients in through proxies that inspect TLS, if they allow it too'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l no-resume -d 'Reset a stream\'s local connections when its connection to the hub breaks, instead of resuming it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -l audit-required -d 'Let no new stream through while the activity log cannot be written; running ones go on'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "device" -d 'Manage the devices that may wait here'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "service" -d 'Manage the services (operators, jobs) that may ask for streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "enroll" -d 'Manage enrolment keys: one secret with which many devices join, each with a key of its own'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "devices" -d 'List the devices: who is online, since when, from where, what it offers'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "streams" -d 'List the streams, or end one'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "status" -d 'Print how the hub is: up since, counts, certificate, memory, file descriptors'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "check" -d 'Check that the hub runs, is reached under its join links\' name, and has what it needs: certificate, clock, file descriptors, disk'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "show" -d 'Print the hub\'s name, streaming endpoints and pin as JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "check-config" -d 'Check the configuration file, every section of it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "logs" -d 'Print the activity log: who connected, who asked for what, what came of it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "backup" -d 'Write the hub\'s identities, keys and certificates into one file, also while it runs'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "restore" -d 'Make a hub\'s state directory out of a backup'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs backup restore help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "add" -d 'Add a device, and print the line that its machine joins with'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "list" -d 'List the devices'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "show" -d 'Show one device'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "disable" -d 'Keep a device out until it is enabled again; its connection and streams end'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "enable" -d 'Let a device in again'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "rotate" -d 'Print a line with which the device gets a new key'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "remove" -d 'Forget a device; its connection and streams end'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "add" -d 'Add a service, and print the line that its machine joins with; it may reach what is named here, and nothing else'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "set" -d 'Change what a service may reach; what is not named stays. Streams outside of it end'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "list" -d 'List the services'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "show" -d 'Show one service'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "disable" -d 'Keep a service out until it is enabled again; its streams end'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "enable" -d 'Let a service in again'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "rotate" -d 'Print a line with which the service gets a new key'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "remove" -d 'Forget a service; its streams end'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -f -a "add" -d 'Make an enrolment key, and print it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -f -a "list" -d 'List the enrolment keys: for which ids, how often used, until when'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -f -a "remove" -d 'Make an enrolment key void; the devices that joined with it stay'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l json -d 'As JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l json -d 'As JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -f -a "list" -d 'List the streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -f -a "kill" -d 'End a stream; both of its ends are told why'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l json -d 'As JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l json -d 'As JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l device -d 'Only lines of this device' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l service -d 'Only lines of this service' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l since -d 'Only lines of the last while, such as 90s, 30m, 12h or 7d' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Print new lines too as they come, until Ctrl-C; without --since, begin with the last 10'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l json -d 'As the JSON lines they are'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "device" -d 'Manage the devices that may wait here'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "service" -d 'Manage the services (operators, jobs) that may ask for streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "enroll" -d 'Manage enrolment keys: one secret with which many devices join, each with a key of its own'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "devices" -d 'List the devices: who is online, since when, from where, what it offers'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "streams" -d 'List the streams, or end one'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "status" -d 'Print how the hub is: up since, counts, certificate, memory, file descriptors'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check that the hub runs, is reached under its join links\' name, and has what it needs: certificate, clock, file descriptors, disk'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the hub\'s name, streaming endpoints and pin as JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "check-config" -d 'Check the configuration file, every section of it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "logs" -d 'Print the activity log: who connected, who asked for what, what came of it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "backup" -d 'Write the hub\'s identities, keys and certificates into one file, also while it runs'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "restore" -d 'Make a hub\'s state directory out of a backup'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand join" -l ca -d 'Trust the hub\'s certificate if an authority in this PEM file signed it, instead of the pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand join" -l via -d 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand join" -l via-login -d 'The file with the proxy\'s USER:PASSWORD, which nobody else may read' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand join" -l id -d 'The device\'s id, where the link leaves that to the machine [default: the host name]' -r
complete -c devstream -n "__fish_devstream_using_subcommand join" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand join" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand join" -l replace -d 'In the place of what this profile joined before, if that is another identity or another hub\'s'
complete -c devstream -n "__fish_devstream_using_subcommand join" -l allow-tls-inspection -d 'Go on where a proxy on the way inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand join" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand join" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand join" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l forward -d 'A target to offer, and its name: 22, 3389, web=8080, db=10.0.0.5:5432 (repeatable; the first is the default)' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l id -d 'The device\'s id [default: the one that was joined, else the host name]' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l allow-service -d 'A service to let in, by name or pattern; others are refused, whatever the hub says (repeatable) [default: all]' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l accept-command -d 'A shell command that decides about each stream: exit status 0 lets it in' -r -f -a "(__fish_complete_command)"
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l hub -d 'Where the hub is, if not where it was when this machine joined; without a port, 443 (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l ca -d 'Trust the hub\'s certificate if an authority in this PEM file signed it, instead of the pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l via -d 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l via-login -d 'The file with the proxy\'s USER:PASSWORD, which nobody else may read' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l dead-after -d 'Give up a connection on which nothing was heard for so long; from 4 s to a day' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l standbys -d 'Keep at most so many connections ready for streams, once there are streams, so that they open at once; 0 keeps none' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l drain-timeout -d 'How long running streams may go on after a first SIGTERM or Ctrl-C' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l allow-tls-inspection -d 'Go on where a proxy on the way inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l no-resume -d 'Reset a stream\'s local connections when its connection to the hub breaks, instead of resuming it'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l device -d 'The device to reach' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l local -d 'A local port, and the device\'s stream it leads to: 2222, 0 (any free port), 8080=web, 0.0.0.0:2222 (repeatable)' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l strip -d 'What --device has after the device\'s id, as in OpenSSH\'s names of hosts: .devstream' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l stream -d 'The stream that --stdio asks for [default: the device\'s first forward]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l connect-timeout -d 'How long to wait for an offline device to come online; at most 60' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l response-timeout -d 'How long to wait for an online device to answer; at most 60' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l hub -d 'Where the hub is, if not where it was when this machine joined; without a port, 443 (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l ca -d 'Trust the hub\'s certificate if an authority in this PEM file signed it, instead of the pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l via -d 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l via-login -d 'The file with the proxy\'s USER:PASSWORD, which nobody else may read' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l dead-after -d 'Give up a connection on which nothing was heard for so long; from 4 s to a day' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l standbys -d 'Keep at most so many connections ready for streams, once there are streams, so that they open at once; 0 keeps none' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l drain-timeout -d 'How long running streams may go on after a first SIGTERM or Ctrl-C' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l stdio -d 'One stream on standard input and output, for ssh\'s ProxyCommand'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l allow-tls-inspection -d 'Go on where a proxy on the way inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l no-resume -d 'Reset a stream\'s local connections when its connection to the hub breaks, instead of resuming it'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -f -a "install" -d 'Write hardened units for a role, enable and start them'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -f -a "uninstall" -d 'Stop a role\'s units and remove them; what it kept stays'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l root -d 'Below this directory instead of /, starting nothing: for packages and images' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l program -d 'What the units run [default: this program]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l print -d 'Print the units instead'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l root -d 'Below this directory instead of /, stopping nothing' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "install" -d 'Write hardened units for a role, enable and start them'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "uninstall" -d 'Stop a role\'s units and remove them; what it kept stays'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l local -d 'The local port; 0 takes any free port' -r
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l forward -d 'The target, and its name [default: 22 if something listens there]' -r
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand demo" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand demo" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l hub -d 'Where the hub is, if not where it was when this machine joined; without a port, 443 (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l ca -d 'Trust the hub\'s certificate if an authority in this PEM file signed it, instead of the pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l via -d 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l via-login -d 'The file with the proxy\'s USER:PASSWORD, which nobody else may read' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l json -d 'As JSON'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l allow-tls-inspection -d 'Go on where a proxy on the way inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand check" -l device -d 'Go on to this device' -r
complete -c devstream -n "__fish_devstream_using_subcommand check" -l stream -d 'The stream to ask for [default: the device\'s first forward]' -r
complete -c devstream -n "__fish_devstream_using_subcommand check" -l forward -d 'Check as a device: whether this target answers here, instead of those in the device-agent\'s settings (repeatable)' -r
complete -c devstream -n "__fish_devstream_using_subcommand check" -l hub -d 'Where the hub is, if not where it was when this machine joined; without a port, 443 (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand check" -l ca -d 'Trust the hub\'s certificate if an authority in this PEM file signed it, instead of the pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand check" -l via -d 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand check" -l via-login -d 'The file with the proxy\'s USER:PASSWORD, which nobody else may read' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand check" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand check" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand check" -l json -d 'As JSON'
complete -c devstream -n "__fish_devstream_using_subcommand check" -l allow-tls-inspection -d 'Go on where a proxy on the way inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand check" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand check" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand status" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand status" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand status" -l json -d 'As JSON'
complete -c devstream -n "__fish_devstream_using_subcommand status" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand status" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l stream -d 'The stream that leads to the device\'s SSH server: what its forward is called' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l stream -d 'The stream that leads to the device\'s SSH server: what its forward is called' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l install -d 'Put it into a file of its own, and one Include line for that at the top of ~/.ssh/config'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l uninstall -d 'Take both away again'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l stream -d 'The stream that leads to the device\'s desktop: what its forward is called' -r
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l no-client -d 'Start no client: print the address and the .rdp file, and serve until Ctrl-C'
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove help" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove help" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove help" -l json -d 'As JSON'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove help" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove help" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove help" -f -a "use" -d 'Have a profile hold wherever none is named'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove help" -f -a "remove" -d 'Forget a profile\'s identities: their keys are gone, and their ids join again with new links'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "use" -d 'Have a profile hold wherever none is named'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Forget a profile\'s identities: their keys are gone, and their ids join again with new links'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -f -a "init" -d 'Write the file with every key in it, commented out, with its meaning and its default'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -f -a "show" -d 'Print what holds for each setting, and where it comes from: a flag, the environment, the file or the default'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -l force -d 'Over a file that is there'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'The configuration file [default: devstream/config.toml in the user\'s configuration directory, if it is there]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'As JSON'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "init" -d 'Write the file with every key in it, commented out, with its meaning and its default'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print what holds for each setting, and where it comes from: a flag, the environment, the file or the default'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -l log-format -d 'How messages are written to standard error: for a person, or as one JSON object each' -r -f -a "text\t'A line for a person'
json\t'A JSON object with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand completions" -l profile -d 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand completions" -l static -d 'A script that knows the flags by itself and asks nobody'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "hub" -d 'Run the meeting point, or manage the one that is running'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "join" -d 'Enrol this machine with the line that a hub printed'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "device-agent" -d 'Run the device\'s end: dial out to the hub, wait, and connect streams to local targets'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "service-proxy" -d 'Run the operator\'s end: local ports whose connections become streams to a device'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "service" -d 'Run a role as a service of this machine, under systemd'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "demo" -d 'Show it all at once: hub, device-agent and service-proxy in one process, on loopback'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "devices" -d 'List the devices that I may reach: online, last seen, what they offer'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "check" -d 'Check every hop on the way, and say which one fails, why, and what to do next'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "status" -d 'Show what of this user runs on this machine, to which hub, and as whom'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "ssh" -d 'Run OpenSSH\'s `ssh` to a device'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "ssh-config" -d 'Print what lets OpenSSH reach every device by its name, as in `ssh pi-42.devstream`'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "rdp" -d 'Open a device\'s desktop: a local port, an .rdp file, and a remote desktop client'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "profiles" -d 'List the hubs and identities that this machine joined with, or choose among them'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "config" -d 'Write a configuration file to begin with, or print what holds'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "completions" -d 'Print a completion script, to be run by the shell when it starts'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles config completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "device" -d 'Manage the devices that may wait here'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "service" -d 'Manage the services (operators, jobs) that may ask for streams'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "enroll" -d 'Manage enrolment keys: one secret with which many devices join, each with a key of its own'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "devices" -d 'List the devices: who is online, since when, from where, what it offers'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "streams" -d 'List the streams, or end one'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "status" -d 'Print how the hub is: up since, counts, certificate, memory, file descriptors'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "check" -d 'Check that the hub runs, is reached under its join links\' name, and has what it needs: certificate, clock, file descriptors, disk'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "show" -d 'Print the hub\'s name, streaming endpoints and pin as JSON'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "check-config" -d 'Check the configuration file, every section of it'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "logs" -d 'Print the activity log: who connected, who asked for what, what came of it'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "backup" -d 'Write the hub\'s identities, keys and certificates into one file, also while it runs'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "restore" -d 'Make a hub\'s state directory out of a backup'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "install" -d 'Write hardened units for a role, enable and start them'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "uninstall" -d 'Stop a role\'s units and remove them; what it kept stays'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "use" -d 'Have a profile hold wherever none is named'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "remove" -d 'Forget a profile\'s identities: their keys are gone, and their ids join again with new links'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "init" -d 'Write the file with every key in it, commented out, with its meaning and its default'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print what holds for each setting, and where it comes from: a flag, the environment, the file or the default'

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

complete -c devstream -n "__fish_devstream_needs_command" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_needs_command" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_needs_command" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_needs_command" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_needs_command" -s V -l version -d 'Print version'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "hub" -d 'Run a hub, or manage the running one'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "join" -d 'Enrol this machine with a join link from a hub'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "device-agent" -d 'Run the device\'s end: dial out to the hub, and connect streams to local targets'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "service-proxy" -d 'Run the operator\'s end: local ports whose connections become streams to a device'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "service" -d 'Install or remove a role as a systemd service'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "demo" -d 'Try devstream: a hub, a device-agent and a service-proxy in one process, on loopback'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "devices" -d 'List the devices that you may reach: state, last seen, streams offered, end-to-end key if it is known here'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "check" -d 'Check every hop to the hub, a device and its target: which one fails, why, and what to do next'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "status" -d 'Show the roles of this user that run on this machine: process, identity, hub, state and streams'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "ssh" -d 'Run OpenSSH\'s `ssh` to a device'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "ssh-config" -d 'Print the OpenSSH configuration to reach every device by its name, as in `ssh pi-42.devstream`'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "rdp" -d 'Open a device\'s desktop: a local port, an .rdp file, and a remote desktop client'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "profiles" -d 'List the profiles: hubs and identities that this machine joined, or set the default'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "identity" -d 'Show who this machine is: role, id, hub and end-to-end key of each of its identities'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "trust" -d 'List, pin or forget the end-to-end keys of the devices and services that this machine knows'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "fleet" -d 'Keep the key of a fleet, and sign the end-to-end keys of your devices and services with it'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "config" -d 'Write a commented configuration file, or print the effective settings'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "completions" -d 'Print a completion script, for the shell to load at startup'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l listen -d 'Listen on this address, or this port of all addresses; port 0 takes any free port (repeatable) [default: [::]:8443]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l hostname -d 'Public host name of this hub; the first goes into join links, all into the certificate (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l tls-cert -d 'Present this certificate (PEM, with its intermediates) for the names it covers' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l tls-key -d 'Use this private key for it (PEM, unencrypted); no other user may have access to the file' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l acme-directory -d 'Use this ACME directory' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l acme-contact -d 'Give the authority this contact, as mailto:NAME@HOST' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l acme-ca -d 'Trust the authorities in this PEM file for the ACME directory, instead of the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l proxy-protocol-from -d 'Take the client\'s address from the PROXY protocol header of connections from this load balancer, an address or a network such as 10.0.0.0/24 (repeatable)' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l streaming-endpoint -d 'Public base URL of the streaming endpoint, instead of the hub\'s' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l streaming-listen -d 'Listen on this address for the streaming endpoint' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l handshake-timeout -d 'Limit a stream\'s handshake, and the validity of its token; at most 60 s' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l drain-timeout -d 'Let running streams go on for this long after a first SIGTERM or Ctrl-C' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l metrics -d 'Serve /metrics (OpenMetrics, for Prometheus), /healthz and /readyz here: plain HTTP, for a private network only' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l dead-after -d 'Close connections that are silent this long; from 4 s to a day' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l standbys -d 'Keep this many standby connections for further streams, so that they open at once; 0 keeps none' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l resume-grace -d 'Keep an interrupted stream for this long before its local connections are reset, such as 30s, 2m or 8h; at most a day' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l memory-budget -d 'Memory budget, such as 512MiB; near it new streams, then connections, are refused [default: the limit of the control group or `ulimit -v`]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l tls-timeout -d 'Limit the time from accepting a connection until TLS is established' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l head-timeout -d 'Limit the time to receive a request\'s head, and the idle time between two requests' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l auth-timeout -d 'Limit the time from TLS until a connection is authenticated' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-head -d 'Limit the size of a request\'s line and headers' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-head-fields -d 'Limit the number of a request\'s header fields' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-unauthenticated -d 'Maximum unauthenticated connections; a quarter is for addresses with good keys, and one for the others' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-unauthenticated-per-source -d 'Maximum unauthenticated connections from one IPv4 address or IPv6 /64' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-pending -d 'Maximum streams being opened' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-pending-per-device -d 'Maximum streams being opened to one device; one service may have half of them' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-pending-per-service -d 'Maximum streams being opened for one service' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-streams -d 'Maximum streams' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-streams-per-device -d 'Maximum streams to one device; one service may have as many of them as are left' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l max-streams-per-service -d 'Maximum streams for one service' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l penalty-threshold -d 'Ban a source once its penalties reach this (failed authentication 5 s, timeout 10 s, malformed input 1 s)' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l penalty-max -d 'Ban a source for at most this long; one with authenticated connections is throttled instead' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l penalty-exempt -d 'Never penalise this network, such as 10.0.0.0/8 (repeatable)' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l activity-rotate-size -d 'Rotate the activity log before it grows beyond this size' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l activity-rotate-age -d 'Rotate the file once its first line is this old, whatever its size' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l activity-keep-size -d 'Delete the oldest files, so that all together never exceed this size; at least twice the rotate size' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l activity-keep-age -d 'Delete files that were rotated longer ago than this' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l acme -d 'Obtain a certificate for every --hostname by ACME, and agree to the authority\'s terms'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l allow-tls-inspection -d 'Accept clients behind proxies that inspect TLS, if they allow it too'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l no-resume -d 'Reset a stream\'s local connections when its connection to the hub breaks, instead of resuming it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -l audit-required -d 'Refuse new streams while the activity log cannot be written; running ones go on'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "device" -d 'Manage devices'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "service" -d 'Manage services: operators and jobs that open streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "enroll" -d 'Manage enrolment keys: one secret with which many devices join, each with a key of its own'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "devices" -d 'List devices: state, since when, address, streams offered'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "streams" -d 'List streams, or end one'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "status" -d 'Show the hub\'s status: uptime, counts, certificate, memory, file descriptors'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "check" -d 'Check that the hub runs, is reached under the name in its join links, and has a valid certificate, file descriptors and disk space'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "show" -d 'Print the hub\'s name, streaming endpoints and pin as JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "check-config" -d 'Check the configuration file, with all its sections'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "logs" -d 'Print the activity log: connections, requests for streams, and their results'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "cluster" -d 'Several hubs as one: over NATS servers of your own'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "backup" -d 'Write the hub\'s identities, keys and certificates into one file; works while it runs'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "restore" -d 'Restore a hub\'s state directory from a backup'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service enroll devices streams status check show check-config logs cluster backup restore help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "add" -d 'Add a device, and print the command with which its machine joins'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "list" -d 'List devices'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "show" -d 'Show a device and its keys'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "disable" -d 'Disable a device, and end its connection and streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "enable" -d 'Enable a device again'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "rotate" -d 'Print a command with which the device gets a new key; the present one works until then, and for --overlap after'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "remove" -d 'Remove a device, and end its connection and streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "add" -d 'Add a service, and print the command with which its machine joins; it may reach what is named here, nothing else'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "set" -d 'Change what a service may reach, and end its other streams; what is not named stays'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "list" -d 'List services'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "show" -d 'Show a service and its keys'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "disable" -d 'Disable a service, and end its streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "enable" -d 'Enable a service again'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "rotate" -d 'Print a command with which the service gets a new key; the present one works until then, and for --overlap after'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "remove" -d 'Remove a service, and end its streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -f -a "add" -d 'Create an enrolment key, and print it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -f -a "list" -d 'List enrolment keys: ids, uses, validity'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -f -a "remove" -d 'Revoke an enrolment key; devices that joined with it stay'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from enroll" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from devices" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -f -a "list" -d 'List streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -f -a "kill" -d 'End a stream, and tell both ends why'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from streams" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from check-config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l device -d 'Print only entries of this device' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l service -d 'Print only entries of this service' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l since -d 'Print only entries not older than this, such as 90s, 30m, 12h or 7d' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Go on printing new entries until Ctrl-C; without --since, start with the last 10'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l json -d 'Print JSON lines, as they are stored; in a cluster, with the hub\'s address first'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -f -a "init" -d 'Make this hub the first of several; it takes effect when the hub is restarted'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -f -a "invite" -d 'Print the command with which one more hub joins'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -f -a "join" -d 'Make a new hub of the cluster on this machine; reads the link from standard input'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -f -a "status" -d 'Show the hubs: state, version, since when, devices, streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -f -a "restore" -d 'Put this hub\'s identities into the NATS servers\' store, where that has lost them'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -f -a "leave" -d 'Make this hub one that is alone; it takes effect when the hub is restarted'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from cluster" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -l state-dir -d 'Keep the hub\'s state in this directory [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "device" -d 'Manage devices'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "service" -d 'Manage services: operators and jobs that open streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "enroll" -d 'Manage enrolment keys: one secret with which many devices join, each with a key of its own'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "devices" -d 'List devices: state, since when, address, streams offered'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "streams" -d 'List streams, or end one'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show the hub\'s status: uptime, counts, certificate, memory, file descriptors'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check that the hub runs, is reached under the name in its join links, and has a valid certificate, file descriptors and disk space'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the hub\'s name, streaming endpoints and pin as JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "check-config" -d 'Check the configuration file, with all its sections'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "logs" -d 'Print the activity log: connections, requests for streams, and their results'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "cluster" -d 'Several hubs as one: over NATS servers of your own'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "backup" -d 'Write the hub\'s identities, keys and certificates into one file; works while it runs'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "restore" -d 'Restore a hub\'s state directory from a backup'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand join" -l ca -d 'Trust the authorities in this PEM file for the hub\'s certificate, instead of its pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand join" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand join" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand join" -l id -d 'Join as this device, where the link leaves the id to the machine [default: the host name]' -r
complete -c devstream -n "__fish_devstream_using_subcommand join" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand join" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand join" -l replace -d 'Replace the identity that this profile has already joined with'
complete -c devstream -n "__fish_devstream_using_subcommand join" -l allow-tls-inspection -d 'Connect even if a proxy on the path inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand join" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand join" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand join" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l forward -d 'Offer this target, under this name: 22, 3389, web=8080, db=10.0.0.5:5432 (repeatable; the first is the default)' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l id -d 'Run as this device [default: the id that joined, else the host name]' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l allow-service -d 'Accept this service, by name or pattern, and reject others, whatever the hub allows (repeatable) [default: all]' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l allow-plain -d 'Accept streams that are not encrypted end to end of this service, by name or pattern (repeatable) [default: none]' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l accept-command -d 'Run this shell command for each stream: exit status 0 accepts it' -r -f -a "(__fish_complete_command)"
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l hub -d 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l ca -d 'Trust the authorities in this PEM file for the hub\'s certificate, instead of its pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l dead-after -d 'Close connections that are silent this long; from 4 s to a day' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l standbys -d 'Keep this many standby connections for further streams, so that they open at once; 0 keeps none' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l max-streams -d 'Maximum streams; a device refuses more, and a proxy leaves further local connections waiting' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l memory-budget -d 'Maximum bytes that all streams hold, received and not delivered or sent and not acknowledged; at least 1MiB' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l drain-timeout -d 'Let running streams go on for this long after a first SIGTERM or Ctrl-C' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l allow-tls-inspection -d 'Connect even if a proxy on the path inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l no-resume -d 'Reset a stream\'s local connections when its connection to the hub breaks, instead of resuming it'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l device -d 'Reach this device, unless DEVICE names one' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l local -d 'Listen on this local port for this stream: 2222, 0 (any free port), 8080=web, 0.0.0.0:2222 (repeatable)' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l strip -d 'Remove this suffix from --device instead of .devstream, which OpenSSH\'s host names have' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l stream -d 'Ask for this stream, with --stdio and at each --local without one [default: the device\'s first forward]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l connect-timeout -d 'Wait this long for an offline device to come online; at most 60 s' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l response-timeout -d 'Wait this long for an online device to answer; at most 60 s' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l hub -d 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l ca -d 'Trust the authorities in this PEM file for the hub\'s certificate, instead of its pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l dead-after -d 'Close connections that are silent this long; from 4 s to a day' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l standbys -d 'Keep this many standby connections for further streams, so that they open at once; 0 keeps none' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l max-streams -d 'Maximum streams; a device refuses more, and a proxy leaves further local connections waiting' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l memory-budget -d 'Maximum bytes that all streams hold, received and not delivered or sent and not acknowledged; at least 1MiB' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l drain-timeout -d 'Let running streams go on for this long after a first SIGTERM or Ctrl-C' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l stdio -d 'Carry one stream on standard input and output, for ssh\'s ProxyCommand'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l plain -d 'Open streams that are not encrypted end to end, for a device whose agent is none of devstream\'s'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l allow-tls-inspection -d 'Connect even if a proxy on the path inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l no-resume -d 'Reset a stream\'s local connections when its connection to the hub breaks, instead of resuming it'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -f -a "install" -d 'Write hardened units for a role, enable and start them'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -f -a "uninstall" -d 'Stop a role\'s units and remove them; its state stays'
complete -c devstream -n "__fish_devstream_using_subcommand service; and not __fish_seen_subcommand_from install uninstall help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l root -d 'Install below this directory instead of /, and start nothing: for packages and images' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l program -d 'Run this program in the units [default: this program]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -l print -d 'Print the units and install nothing'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l root -d 'Remove below this directory instead of /, and stop nothing' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from uninstall" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "install" -d 'Write hardened units for a role, enable and start them'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "uninstall" -d 'Stop a role\'s units and remove them; its state stays'
complete -c devstream -n "__fish_devstream_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l local -d 'Listen on this local port; 0 takes any free port' -r
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l forward -d 'Offer this target, under this name [default: 22 if something listens there]' -r
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand demo" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand demo" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l hub -d 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l ca -d 'Trust the authorities in this PEM file for the hub\'s certificate, instead of its pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -l allow-tls-inspection -d 'Connect even if a proxy on the path inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand devices" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand check" -l device -d 'Check the path to this device as well, as with DEVICE' -r
complete -c devstream -n "__fish_devstream_using_subcommand check" -l stream -d 'Ask for this stream [default: the device\'s first forward that this service may reach]' -r
complete -c devstream -n "__fish_devstream_using_subcommand check" -l forward -d 'Check as a device, with this target instead of those in the device-agent\'s settings (repeatable)' -r
complete -c devstream -n "__fish_devstream_using_subcommand check" -l hub -d 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand check" -l ca -d 'Trust the authorities in this PEM file for the hub\'s certificate, instead of its pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand check" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand check" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand check" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand check" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand check" -l plain -d 'Open a stream that is not encrypted end to end, as the service-proxy does with --plain'
complete -c devstream -n "__fish_devstream_using_subcommand check" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand check" -l allow-tls-inspection -d 'Connect even if a proxy on the path inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand check" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand check" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand status" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand status" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand status" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand status" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand status" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l stream -d 'Ask for this stream, which is the name of the forward to the device\'s SSH server' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l hub -d 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l connect-timeout -d 'Wait this long for an offline device to come online; at most 60 s [default: the service-proxy\'s]' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -l plain -d 'Open a stream that is not encrypted end to end, for a device whose agent is none of devstream\'s'
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand ssh" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l stream -d 'Ask for this stream, which is the name of the forward to the device\'s SSH server' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l hub -d 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l connect-timeout -d 'Wait this long for an offline device to come online; at most 60 s [default: the service-proxy\'s]' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l install -d 'Write it to a file of its own, and an Include line for that at the top of ~/.ssh/config'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l uninstall -d 'Remove that file and the Include line'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -l plain -d 'Open a stream that is not encrypted end to end, for a device whose agent is none of devstream\'s'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand ssh-config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l stream -d 'Ask for this stream, which is the name of the forward to the device\'s desktop' -r
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l hub -d 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l connect-timeout -d 'Wait this long for an offline device to come online; at most 60 s [default: the service-proxy\'s]' -r
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l no-client -d 'Start no client: print the address and the .rdp file, and serve until Ctrl-C'
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -l plain -d 'Open a stream that is not encrypted end to end, for a device whose agent is none of devstream\'s'
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand rdp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -f -a "use" -d 'Set the default profile'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -f -a "remove" -d 'Delete a profile\'s identities and their keys; to return, they need new join links'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -f -a "set" -d 'Set the address of a profile\'s hub, after that has moved; the identity, and what certifies the hub, stay'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and not __fish_seen_subcommand_from use remove set help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from use" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l role -d 'Delete the identity of this role only' -r
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l yes -d 'Do not ask; needed where there is no terminal'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from set" -l hub -d 'New address of the hub; without a port, the one before' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from set" -l role -d 'Set it for the identity of this role only' -r
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from set" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from set" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from set" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "use" -d 'Set the default profile'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Delete a profile\'s identities and their keys; to return, they need new join links'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set the address of a profile\'s hub, after that has moved; the identity, and what certifies the hub, stay'
complete -c devstream -n "__fish_devstream_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand identity" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand identity" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand identity" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand identity" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand identity" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand identity" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -f -a "list" -d 'List the known peers: role, id, how and since when their keys are known'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -f -a "pin" -d 'Set the key of a peer, which somebody has read on its machine'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -f -a "forget" -d 'Forget a peer\'s key: the key that it shows next is kept'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -f -a "fleet" -d 'Trust a fleet: refuse every peer whose key it has not signed (exit code 43), whatever else is known of it'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -f -a "reset" -d 'Forget the keys of all peers of an identity'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and not __fish_seen_subcommand_from list pin forget fleet reset help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from list" -l role -d 'List what this machine\'s identity of this role knows [default: both]' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from list" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from list" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from pin" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from pin" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from pin" -l replace -d 'Replace another key that was pinned, vouched for or signed before'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from pin" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from pin" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from pin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from forget" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from forget" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from forget" -l yes -d 'Do not ask; needed where there is no terminal'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from fleet" -l certificate -d 'Present this certificate to peers' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from fleet" -l role -d 'Change what this machine\'s identity of this role trusts [default: both]' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from fleet" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from fleet" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from fleet" -l remove -d 'Trust no fleet any more: the keys that are known count again, and those of new peers are kept'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from fleet" -l yes -d 'Do not ask before a removal; needed where there is no terminal'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from fleet" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from fleet" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from fleet" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from reset" -l role -d 'Forget what this machine\'s identity of this role knows; needed where there are two' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from reset" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from reset" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from reset" -l yes -d 'Do not ask; needed where there is no terminal'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from reset" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from reset" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the known peers: role, id, how and since when their keys are known'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "pin" -d 'Set the key of a peer, which somebody has read on its machine'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "forget" -d 'Forget a peer\'s key: the key that it shows next is kept'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "fleet" -d 'Trust a fleet: refuse every peer whose key it has not signed (exit code 43), whatever else is known of it'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "reset" -d 'Forget the keys of all peers of an identity'
complete -c devstream -n "__fish_devstream_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -f -a "init" -d 'Make a fleet: its key, and a recovery key that you then move to another place'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -f -a "invite" -d 'Add an invitation to a join link, which is read from standard input'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -f -a "sign" -d 'Sign machines that joined with an invitation, and renew certificates that end within 60 days'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -f -a "forget" -d 'Renew a machine no more, and end its invitations'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -f -a "list" -d 'List the machines whose keys were signed here, and until when'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -f -a "recover" -d 'Sign with the recovery key from now on, where the fleet key was lost'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and not __fish_seen_subcommand_from init invite sign forget list recover help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from init" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from init" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from invite" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from invite" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from invite" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from invite" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from invite" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l role -d 'The machine\'s role' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l key -d 'The machine\'s whole key, as `devstream identity` shows it there' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l hub -d 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l ca -d 'Trust the authorities in this PEM file for the hub\'s certificate, instead of its pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l via -d 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l via-login -d 'Read the proxy\'s USER:PASSWORD from this file; no other user may have access to it' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l replace -d 'Sign the key also where another one was signed for the same machine before'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -l allow-tls-inspection -d 'Connect even if a proxy on the path inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from sign" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from forget" -l role -d 'The machine\'s role' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from forget" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from forget" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from list" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from list" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from recover" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from recover" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from recover" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from recover" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from help" -f -a "init" -d 'Make a fleet: its key, and a recovery key that you then move to another place'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from help" -f -a "invite" -d 'Add an invitation to a join link, which is read from standard input'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from help" -f -a "sign" -d 'Sign machines that joined with an invitation, and renew certificates that end within 60 days'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from help" -f -a "forget" -d 'Renew a machine no more, and end its invitations'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the machines whose keys were signed here, and until when'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from help" -f -a "recover" -d 'Sign with the recovery key from now on, where the fleet key was lost'
complete -c devstream -n "__fish_devstream_using_subcommand fleet; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -f -a "init" -d 'Write a file with every key in it, commented out, with its meaning and default'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -f -a "show" -d 'Print the effective settings, and where each comes from: a flag, the environment, the file or the default'
complete -c devstream -n "__fish_devstream_using_subcommand config; and not __fish_seen_subcommand_from init show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -l force -d 'Overwrite an existing file'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration file [default: devstream/config.toml in the user\'s configuration directory, if it exists]' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "init" -d 'Write a file with every key in it, commented out, with its meaning and default'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the effective settings, and where each comes from: a flag, the environment, the file or the default'
complete -c devstream -n "__fish_devstream_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -l log-format -d 'Set the format of messages on standard error' -r -f -a "text\t'One line of text each'
json\t'One JSON object each, with time, level, target, message and fields'"
complete -c devstream -n "__fish_devstream_using_subcommand completions" -l profile -d 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]' -r
complete -c devstream -n "__fish_devstream_using_subcommand completions" -l static -d 'Print a static script, which completes commands and flags only'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -s v -l verbose -d 'Increase verbosity (-vv: trace)'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -s q -l quiet -d 'Show warnings and errors only'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "hub" -d 'Run a hub, or manage the running one'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "join" -d 'Enrol this machine with a join link from a hub'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "device-agent" -d 'Run the device\'s end: dial out to the hub, and connect streams to local targets'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "service-proxy" -d 'Run the operator\'s end: local ports whose connections become streams to a device'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "service" -d 'Install or remove a role as a systemd service'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "demo" -d 'Try devstream: a hub, a device-agent and a service-proxy in one process, on loopback'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "devices" -d 'List the devices that you may reach: state, last seen, streams offered, end-to-end key if it is known here'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "check" -d 'Check every hop to the hub, a device and its target: which one fails, why, and what to do next'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "status" -d 'Show the roles of this user that run on this machine: process, identity, hub, state and streams'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "ssh" -d 'Run OpenSSH\'s `ssh` to a device'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "ssh-config" -d 'Print the OpenSSH configuration to reach every device by its name, as in `ssh pi-42.devstream`'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "rdp" -d 'Open a device\'s desktop: a local port, an .rdp file, and a remote desktop client'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "profiles" -d 'List the profiles: hubs and identities that this machine joined, or set the default'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "identity" -d 'Show who this machine is: role, id, hub and end-to-end key of each of its identities'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "trust" -d 'List, pin or forget the end-to-end keys of the devices and services that this machine knows'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "fleet" -d 'Keep the key of a fleet, and sign the end-to-end keys of your devices and services with it'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "config" -d 'Write a commented configuration file, or print the effective settings'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "completions" -d 'Print a completion script, for the shell to load at startup'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy service demo devices check status ssh ssh-config rdp profiles identity trust fleet config completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "device" -d 'Manage devices'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "service" -d 'Manage services: operators and jobs that open streams'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "enroll" -d 'Manage enrolment keys: one secret with which many devices join, each with a key of its own'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "devices" -d 'List devices: state, since when, address, streams offered'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "streams" -d 'List streams, or end one'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "status" -d 'Show the hub\'s status: uptime, counts, certificate, memory, file descriptors'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "check" -d 'Check that the hub runs, is reached under the name in its join links, and has a valid certificate, file descriptors and disk space'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "show" -d 'Print the hub\'s name, streaming endpoints and pin as JSON'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "check-config" -d 'Check the configuration file, with all its sections'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "logs" -d 'Print the activity log: connections, requests for streams, and their results'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "cluster" -d 'Several hubs as one: over NATS servers of your own'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "backup" -d 'Write the hub\'s identities, keys and certificates into one file; works while it runs'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "restore" -d 'Restore a hub\'s state directory from a backup'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "install" -d 'Write hardened units for a role, enable and start them'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "uninstall" -d 'Stop a role\'s units and remove them; its state stays'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "use" -d 'Set the default profile'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "remove" -d 'Delete a profile\'s identities and their keys; to return, they need new join links'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "set" -d 'Set the address of a profile\'s hub, after that has moved; the identity, and what certifies the hub, stay'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from trust" -f -a "list" -d 'List the known peers: role, id, how and since when their keys are known'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from trust" -f -a "pin" -d 'Set the key of a peer, which somebody has read on its machine'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from trust" -f -a "forget" -d 'Forget a peer\'s key: the key that it shows next is kept'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from trust" -f -a "fleet" -d 'Trust a fleet: refuse every peer whose key it has not signed (exit code 43), whatever else is known of it'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from trust" -f -a "reset" -d 'Forget the keys of all peers of an identity'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from fleet" -f -a "init" -d 'Make a fleet: its key, and a recovery key that you then move to another place'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from fleet" -f -a "invite" -d 'Add an invitation to a join link, which is read from standard input'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from fleet" -f -a "sign" -d 'Sign machines that joined with an invitation, and renew certificates that end within 60 days'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from fleet" -f -a "forget" -d 'Renew a machine no more, and end its invitations'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from fleet" -f -a "list" -d 'List the machines whose keys were signed here, and until when'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from fleet" -f -a "recover" -d 'Sign with the recovery key from now on, where the fleet key was lost'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "init" -d 'Write a file with every key in it, commented out, with its meaning and default'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the effective settings, and where each comes from: a flag, the environment, the file or the default'

# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_devstream_global_optspecs
    string join \n v/verbose q/quiet h/help V/version
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

complete -c devstream -n "__fish_devstream_needs_command" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_needs_command" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_needs_command" -s V -l version -d 'Print version'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "hub" -d 'Run the meeting point, or manage the one that is running'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "join" -d 'Enrol this machine with the line that a hub printed'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "device-agent" -d 'Run the device\'s end: dial out to the hub, wait, and connect streams to local targets'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "service-proxy" -d 'Run the operator\'s end: local ports whose connections become streams to a device'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "demo" -d 'Show it all at once: hub, device-agent and service-proxy in one process, on loopback'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "completions" -d 'Print a completion script, to be put where the shell looks for them'
complete -c devstream -n "__fish_devstream_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l listen -d 'Where to listen; port 0 takes any free port [default: [::]:8443]' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l hostname -d 'What other machines call this one; the first goes into join links, all into the certificate' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l tls-cert -d 'Show this certificate (PEM, with those that lead to its authority) for the names it covers' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l tls-key -d 'Its private key (PEM, unencrypted), which nobody else may read' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l acme-directory -d 'The authority\'s directory' -r -f
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l acme-contact -d 'Where the authority can write to, as mailto:NAME@HOST' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l acme-ca -d 'Trust the directory\'s own certificate if an authority in this PEM file signed it, instead of the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l streaming-endpoint -d 'Give streams a URL of their own, instead of the hub\'s' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l streaming-listen -d 'Where that URL\'s listener listens' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l handshake-timeout -d 'How long a stream\'s handshake may take, and a stream token is good for; at most 60' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l drain-timeout -d 'How long running streams may go on after a first SIGTERM or Ctrl-C' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l acme -d 'Get a certificate for every --hostname by ACME, and agree to the authority\'s terms'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -l allow-tls-inspection -d 'Let clients in through proxies that inspect TLS, if they allow it too'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -f -a "device" -d 'Manage the devices that may wait here'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -f -a "service" -d 'Manage the services (operators, jobs) that may ask for streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -f -a "show" -d 'Print the hub\'s name, streaming endpoints and pin as JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -f -a "logs" -d 'Print the activity log: who connected, who asked for what, what came of it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and not __fish_seen_subcommand_from device service show logs help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -s h -l help -d 'Print help'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "add" -d 'Add a device, and print the line that its machine joins with'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "list" -d 'List the devices'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "show" -d 'Show one device'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "remove" -d 'Remove a device; its connections end'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -s h -l help -d 'Print help'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "add" -d 'Add a service, and print the line that its machine joins with'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "list" -d 'List the services'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "show" -d 'Show one service'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "remove" -d 'Remove a service; its streams end'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from service" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l device -d 'Only lines of this device' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l service -d 'Only lines of this service' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l since -d 'Only lines of the last while, such as 90s, 30m, 12h or 7d' -r
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l state-dir -d 'Where the hub keeps everything [default: devstream/hub in the user\'s data directory]' -r -f -a "(__fish_complete_directories)"
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -l json -d 'As the JSON lines they are'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "device" -d 'Manage the devices that may wait here'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "service" -d 'Manage the services (operators, jobs) that may ask for streams'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the hub\'s name, streaming endpoints and pin as JSON'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "logs" -d 'Print the activity log: who connected, who asked for what, what came of it'
complete -c devstream -n "__fish_devstream_using_subcommand hub; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand join" -l ca -d 'Trust the hub\'s certificate if an authority in this PEM file signed it, instead of the pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand join" -l allow-tls-inspection -d 'Go on where a proxy on the way inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand join" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand join" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand join" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l forward -d 'A target to offer, and its name: 22, 3389, web=8080, db=10.0.0.5:5432 (repeatable; the first is the default)' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l id -d 'The device\'s id [default: the one that was joined, else the host name]' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l hub -d 'Where the hub is, if not where it was when this machine joined; without a port, 443' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l ca -d 'Trust the hub\'s certificate if an authority in this PEM file signed it, instead of the pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l drain-timeout -d 'How long running streams may go on after a first SIGTERM or Ctrl-C' -r
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -l allow-tls-inspection -d 'Go on where a proxy on the way inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand device-agent" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l device -d 'The device to reach' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l local -d 'A local port, and the device\'s stream it leads to: 2222, 0 (any free port), 8080=web, 0.0.0.0:2222 (repeatable)' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l stream -d 'The stream that --stdio asks for [default: the device\'s first forward]' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l connect-timeout -d 'How long to wait for an offline device to come online; at most 60' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l response-timeout -d 'How long to wait for an online device to answer; at most 60' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l hub -d 'Where the hub is, if not where it was when this machine joined; without a port, 443' -r -f -a "(__fish_print_hostnames)"
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l ca -d 'Trust the hub\'s certificate if an authority in this PEM file signed it, instead of the pin or the public ones' -r -F
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l drain-timeout -d 'How long running streams may go on after a first SIGTERM or Ctrl-C' -r
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l stdio -d 'One stream on standard input and output, for ssh\'s ProxyCommand'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -l allow-tls-inspection -d 'Go on where a proxy on the way inspects TLS, if the hub allows it too'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand service-proxy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l local -d 'The local port; 0 takes any free port' -r
complete -c devstream -n "__fish_devstream_using_subcommand demo" -l forward -d 'The target, and its name [default: 22 if something listens there]' -r
complete -c devstream -n "__fish_devstream_using_subcommand demo" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand demo" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -s v -l verbose -d 'Say more; twice for everything'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -s q -l quiet -d 'Say only what is wrong'
complete -c devstream -n "__fish_devstream_using_subcommand completions" -s h -l help -d 'Print help'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy demo completions help" -f -a "hub" -d 'Run the meeting point, or manage the one that is running'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy demo completions help" -f -a "join" -d 'Enrol this machine with the line that a hub printed'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy demo completions help" -f -a "device-agent" -d 'Run the device\'s end: dial out to the hub, wait, and connect streams to local targets'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy demo completions help" -f -a "service-proxy" -d 'Run the operator\'s end: local ports whose connections become streams to a device'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy demo completions help" -f -a "demo" -d 'Show it all at once: hub, device-agent and service-proxy in one process, on loopback'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy demo completions help" -f -a "completions" -d 'Print a completion script, to be put where the shell looks for them'
complete -c devstream -n "__fish_devstream_using_subcommand help; and not __fish_seen_subcommand_from hub join device-agent service-proxy demo completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "device" -d 'Manage the devices that may wait here'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "service" -d 'Manage the services (operators, jobs) that may ask for streams'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "show" -d 'Print the hub\'s name, streaming endpoints and pin as JSON'
complete -c devstream -n "__fish_devstream_using_subcommand help; and __fish_seen_subcommand_from hub" -f -a "logs" -d 'Print the activity log: who connected, who asked for what, what came of it'


using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'devstream' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'devstream'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'devstream' {
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('hub', 'hub', [CompletionResultType]::ParameterValue, 'Run the meeting point, or manage the one that is running')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Enrol this machine with the line that a hub printed')
            [CompletionResult]::new('device-agent', 'device-agent', [CompletionResultType]::ParameterValue, 'Run the device''s end: dial out to the hub, wait, and connect streams to local targets')
            [CompletionResult]::new('service-proxy', 'service-proxy', [CompletionResultType]::ParameterValue, 'Run the operator''s end: local ports whose connections become streams to a device')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Show it all at once: hub, device-agent and service-proxy in one process, on loopback')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script, to be put where the shell looks for them')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub' {
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Where to listen; port 0 takes any free port [default: [::]:8443]')
            [CompletionResult]::new('--hostname', '--hostname', [CompletionResultType]::ParameterName, 'What other machines call this one; the first goes into join links, all into the certificate')
            [CompletionResult]::new('--tls-cert', '--tls-cert', [CompletionResultType]::ParameterName, 'Show this certificate (PEM, with those that lead to its authority) for the names it covers')
            [CompletionResult]::new('--tls-key', '--tls-key', [CompletionResultType]::ParameterName, 'Its private key (PEM, unencrypted), which nobody else may read')
            [CompletionResult]::new('--acme-directory', '--acme-directory', [CompletionResultType]::ParameterName, 'The authority''s directory')
            [CompletionResult]::new('--acme-contact', '--acme-contact', [CompletionResultType]::ParameterName, 'Where the authority can write to, as mailto:NAME@HOST')
            [CompletionResult]::new('--acme-ca', '--acme-ca', [CompletionResultType]::ParameterName, 'Trust the directory''s own certificate if an authority in this PEM file signed it, instead of the public ones')
            [CompletionResult]::new('--streaming-endpoint', '--streaming-endpoint', [CompletionResultType]::ParameterName, 'Give streams a URL of their own, instead of the hub''s')
            [CompletionResult]::new('--streaming-listen', '--streaming-listen', [CompletionResultType]::ParameterName, 'Where that URL''s listener listens')
            [CompletionResult]::new('--handshake-timeout', '--handshake-timeout', [CompletionResultType]::ParameterName, 'How long a stream''s handshake may take, and a stream token is good for; at most 60')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'How long running streams may go on after a first SIGTERM or Ctrl-C')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--acme', '--acme', [CompletionResultType]::ParameterName, 'Get a certificate for every --hostname by ACME, and agree to the authority''s terms')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Let clients in through proxies that inspect TLS, if they allow it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('device', 'device', [CompletionResultType]::ParameterValue, 'Manage the devices that may wait here')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Manage the services (operators, jobs) that may ask for streams')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the hub''s name, streaming endpoints and pin as JSON')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Print the activity log: who connected, who asked for what, what came of it')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;device' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one device')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a device; its connections end')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;device;add' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;device;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;device;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;device;remove' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;device;help' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one device')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a device; its connections end')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;device;help;add' {
            break
        }
        'devstream;hub;device;help;list' {
            break
        }
        'devstream;hub;device;help;show' {
            break
        }
        'devstream;hub;device;help;remove' {
            break
        }
        'devstream;hub;device;help;help' {
            break
        }
        'devstream;hub;service' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one service')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a service; its streams end')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;service;add' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Devices it may reach: ids, or patterns with * and ? [default: all]')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Stream names it may ask for [default: all]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;service;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;service;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;service;remove' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;service;help' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one service')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a service; its streams end')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;service;help;add' {
            break
        }
        'devstream;hub;service;help;list' {
            break
        }
        'devstream;hub;service;help;show' {
            break
        }
        'devstream;hub;service;help;remove' {
            break
        }
        'devstream;hub;service;help;help' {
            break
        }
        'devstream;hub;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;logs' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Only lines of this device')
            [CompletionResult]::new('--service', '--service', [CompletionResultType]::ParameterName, 'Only lines of this service')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Only lines of the last while, such as 90s, 30m, 12h or 7d')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As the JSON lines they are')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;hub;help' {
            [CompletionResult]::new('device', 'device', [CompletionResultType]::ParameterValue, 'Manage the devices that may wait here')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Manage the services (operators, jobs) that may ask for streams')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the hub''s name, streaming endpoints and pin as JSON')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Print the activity log: who connected, who asked for what, what came of it')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;help;device' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one device')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a device; its connections end')
            break
        }
        'devstream;hub;help;device;add' {
            break
        }
        'devstream;hub;help;device;list' {
            break
        }
        'devstream;hub;help;device;show' {
            break
        }
        'devstream;hub;help;device;remove' {
            break
        }
        'devstream;hub;help;service' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one service')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a service; its streams end')
            break
        }
        'devstream;hub;help;service;add' {
            break
        }
        'devstream;hub;help;service;list' {
            break
        }
        'devstream;hub;help;service;show' {
            break
        }
        'devstream;hub;help;service;remove' {
            break
        }
        'devstream;hub;help;show' {
            break
        }
        'devstream;hub;help;logs' {
            break
        }
        'devstream;hub;help;help' {
            break
        }
        'devstream;join' {
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the hub''s certificate if an authority in this PEM file signed it, instead of the pin or the public ones')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Go on where a proxy on the way inspects TLS, if the hub allows it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;device-agent' {
            [CompletionResult]::new('--forward', '--forward', [CompletionResultType]::ParameterName, 'A target to offer, and its name: 22, 3389, web=8080, db=10.0.0.5:5432 (repeatable; the first is the default)')
            [CompletionResult]::new('--id', '--id', [CompletionResultType]::ParameterName, 'The device''s id [default: the one that was joined, else the host name]')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Where the hub is, if not where it was when this machine joined; without a port, 443')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the hub''s certificate if an authority in this PEM file signed it, instead of the pin or the public ones')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'How long running streams may go on after a first SIGTERM or Ctrl-C')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Go on where a proxy on the way inspects TLS, if the hub allows it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;service-proxy' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'The device to reach')
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'A local port, and the device''s stream it leads to: 2222, 0 (any free port), 8080=web, 0.0.0.0:2222 (repeatable)')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'The stream that --stdio asks for [default: the device''s first forward]')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'How long to wait for an offline device to come online; at most 60')
            [CompletionResult]::new('--response-timeout', '--response-timeout', [CompletionResultType]::ParameterName, 'How long to wait for an online device to answer; at most 60')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Where the hub is, if not where it was when this machine joined; without a port, 443')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the hub''s certificate if an authority in this PEM file signed it, instead of the pin or the public ones')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'How long running streams may go on after a first SIGTERM or Ctrl-C')
            [CompletionResult]::new('--stdio', '--stdio', [CompletionResultType]::ParameterName, 'One stream on standard input and output, for ssh''s ProxyCommand')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Go on where a proxy on the way inspects TLS, if the hub allows it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;demo' {
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'The local port; 0 takes any free port')
            [CompletionResult]::new('--forward', '--forward', [CompletionResultType]::ParameterName, 'The target, and its name [default: 22 if something listens there]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;completions' {
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'devstream;help' {
            [CompletionResult]::new('hub', 'hub', [CompletionResultType]::ParameterValue, 'Run the meeting point, or manage the one that is running')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Enrol this machine with the line that a hub printed')
            [CompletionResult]::new('device-agent', 'device-agent', [CompletionResultType]::ParameterValue, 'Run the device''s end: dial out to the hub, wait, and connect streams to local targets')
            [CompletionResult]::new('service-proxy', 'service-proxy', [CompletionResultType]::ParameterValue, 'Run the operator''s end: local ports whose connections become streams to a device')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Show it all at once: hub, device-agent and service-proxy in one process, on loopback')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script, to be put where the shell looks for them')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;help;hub' {
            [CompletionResult]::new('device', 'device', [CompletionResultType]::ParameterValue, 'Manage the devices that may wait here')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Manage the services (operators, jobs) that may ask for streams')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the hub''s name, streaming endpoints and pin as JSON')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Print the activity log: who connected, who asked for what, what came of it')
            break
        }
        'devstream;help;hub;device' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one device')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a device; its connections end')
            break
        }
        'devstream;help;hub;device;add' {
            break
        }
        'devstream;help;hub;device;list' {
            break
        }
        'devstream;help;hub;device;show' {
            break
        }
        'devstream;help;hub;device;remove' {
            break
        }
        'devstream;help;hub;service' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one service')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a service; its streams end')
            break
        }
        'devstream;help;hub;service;add' {
            break
        }
        'devstream;help;hub;service;list' {
            break
        }
        'devstream;help;hub;service;show' {
            break
        }
        'devstream;help;hub;service;remove' {
            break
        }
        'devstream;help;hub;show' {
            break
        }
        'devstream;help;hub;logs' {
            break
        }
        'devstream;help;join' {
            break
        }
        'devstream;help;device-agent' {
            break
        }
        'devstream;help;service-proxy' {
            break
        }
        'devstream;help;demo' {
            break
        }
        'devstream;help;completions' {
            break
        }
        'devstream;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}

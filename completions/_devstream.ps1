
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
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
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
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Run a role as a service of this machine, under systemd')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Show it all at once: hub, device-agent and service-proxy in one process, on loopback')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List the devices that I may reach: online, last seen, what they offer')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check every hop on the way, and say which one fails, why, and what to do next')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show what of this user runs on this machine, to which hub, and as whom')
            [CompletionResult]::new('ssh', 'ssh', [CompletionResultType]::ParameterValue, 'Run OpenSSH''s `ssh` to a device')
            [CompletionResult]::new('ssh-config', 'ssh-config', [CompletionResultType]::ParameterValue, 'Print what lets OpenSSH reach every device by its name, as in `ssh pi-42.devstream`')
            [CompletionResult]::new('rdp', 'rdp', [CompletionResultType]::ParameterValue, 'Open a device''s desktop: a local port, an .rdp file, and a remote desktop client')
            [CompletionResult]::new('profiles', 'profiles', [CompletionResultType]::ParameterValue, 'List the hubs and identities that this machine joined with, or choose among them')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Write a configuration file to begin with, or print what holds')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script, to be run by the shell when it starts')
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
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'The file with the proxy''s USER:PASSWORD, which nobody else may read')
            [CompletionResult]::new('--streaming-endpoint', '--streaming-endpoint', [CompletionResultType]::ParameterName, 'Give streams a URL of their own, instead of the hub''s')
            [CompletionResult]::new('--streaming-listen', '--streaming-listen', [CompletionResultType]::ParameterName, 'Where that URL''s listener listens')
            [CompletionResult]::new('--handshake-timeout', '--handshake-timeout', [CompletionResultType]::ParameterName, 'How long a stream''s handshake may take, and a stream token is good for; at most 60')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'How long running streams may go on after a first SIGTERM or Ctrl-C')
            [CompletionResult]::new('--metrics', '--metrics', [CompletionResultType]::ParameterName, 'Where monitoring finds /metrics (OpenMetrics, as Prometheus reads it), /healthz and /readyz: plain HTTP, for a private network only')
            [CompletionResult]::new('--dead-after', '--dead-after', [CompletionResultType]::ParameterName, 'Give up a connection on which nothing was heard for so long; from 4 s to a day')
            [CompletionResult]::new('--standbys', '--standbys', [CompletionResultType]::ParameterName, 'Keep at most so many connections ready for streams, once there are streams, so that they open at once; 0 keeps none')
            [CompletionResult]::new('--resume-grace', '--resume-grace', [CompletionResultType]::ParameterName, 'How long a stream may be interrupted before its local connections are reset, such as 30s, 2m or 8h; at most a day')
            [CompletionResult]::new('--memory-budget', '--memory-budget', [CompletionResultType]::ParameterName, 'Memory at whose brink new streams are refused, then new connections, such as 512MiB [default: what the control group or `ulimit -v` allows]')
            [CompletionResult]::new('--tls-timeout', '--tls-timeout', [CompletionResultType]::ParameterName, 'From a connection until its TLS is done')
            [CompletionResult]::new('--head-timeout', '--head-timeout', [CompletionResultType]::ParameterName, 'Until a request''s head is there, and how long a connection may idle between two')
            [CompletionResult]::new('--auth-timeout', '--auth-timeout', [CompletionResultType]::ParameterName, 'Until a connection has proved who it is')
            [CompletionResult]::new('--max-head', '--max-head', [CompletionResultType]::ParameterName, 'A request''s line and headers')
            [CompletionResult]::new('--max-head-fields', '--max-head-fields', [CompletionResultType]::ParameterName, 'A request''s header fields')
            [CompletionResult]::new('--max-unauthenticated', '--max-unauthenticated', [CompletionResultType]::ParameterName, 'Connections that have not proved who they are; from half of them on, some are turned away at random')
            [CompletionResult]::new('--max-unauthenticated-per-source', '--max-unauthenticated-per-source', [CompletionResultType]::ParameterName, 'Connections from one IPv4 address or IPv6 /64 that have not proved who they are')
            [CompletionResult]::new('--max-pending', '--max-pending', [CompletionResultType]::ParameterName, 'Handshakes under way')
            [CompletionResult]::new('--max-pending-per-device', '--max-pending-per-device', [CompletionResultType]::ParameterName, 'Handshakes under way to one device')
            [CompletionResult]::new('--max-pending-per-service', '--max-pending-per-service', [CompletionResultType]::ParameterName, 'Handshakes under way for one service')
            [CompletionResult]::new('--max-streams', '--max-streams', [CompletionResultType]::ParameterName, 'Streams')
            [CompletionResult]::new('--max-streams-per-device', '--max-streams-per-device', [CompletionResultType]::ParameterName, 'Streams to one device')
            [CompletionResult]::new('--max-streams-per-service', '--max-streams-per-service', [CompletionResultType]::ParameterName, 'Streams for one service')
            [CompletionResult]::new('--penalty-threshold', '--penalty-threshold', [CompletionResultType]::ParameterName, 'Wrong proofs count 5 s, loitering 10 s, nonsense 1 s against their source; from this sum on it is kept away')
            [CompletionResult]::new('--penalty-max', '--penalty-max', [CompletionResultType]::ParameterName, 'A source is kept away no longer than this; one that holds good connections is slowed instead')
            [CompletionResult]::new('--penalty-exempt', '--penalty-exempt', [CompletionResultType]::ParameterName, 'A network that is never penalised, such as 10.0.0.0/8 (repeatable)')
            [CompletionResult]::new('--activity-rotate-size', '--activity-rotate-size', [CompletionResultType]::ParameterName, 'Put the activity log''s file aside, and begin a new one, before it grows beyond this')
            [CompletionResult]::new('--activity-rotate-age', '--activity-rotate-age', [CompletionResultType]::ParameterName, 'Put the file aside as well once its first line is this old')
            [CompletionResult]::new('--activity-keep-size', '--activity-keep-size', [CompletionResultType]::ParameterName, 'Delete the oldest files, so that all of them never take more than this; at least twice the rotate size')
            [CompletionResult]::new('--activity-keep-age', '--activity-keep-age', [CompletionResultType]::ParameterName, 'Delete files that were put aside longer ago than this')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--acme', '--acme', [CompletionResultType]::ParameterName, 'Get a certificate for every --hostname by ACME, and agree to the authority''s terms')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Let clients in through proxies that inspect TLS, if they allow it too')
            [CompletionResult]::new('--no-resume', '--no-resume', [CompletionResultType]::ParameterName, 'Reset a stream''s local connections when its connection to the hub breaks, instead of resuming it')
            [CompletionResult]::new('--audit-required', '--audit-required', [CompletionResultType]::ParameterName, 'Let no new stream through while the activity log cannot be written; running ones go on')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('device', 'device', [CompletionResultType]::ParameterValue, 'Manage the devices that may wait here')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Manage the services (operators, jobs) that may ask for streams')
            [CompletionResult]::new('enroll', 'enroll', [CompletionResultType]::ParameterValue, 'Manage enrolment keys: one secret with which many devices join, each with a key of its own')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List the devices: who is online, since when, from where, what it offers')
            [CompletionResult]::new('streams', 'streams', [CompletionResultType]::ParameterValue, 'List the streams, or end one')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Print how the hub is: up since, counts, certificate, memory, file descriptors')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that the hub runs, is reached under its join links'' name, and has what it needs: certificate, clock, file descriptors, disk')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the hub''s name, streaming endpoints and pin as JSON')
            [CompletionResult]::new('check-config', 'check-config', [CompletionResultType]::ParameterValue, 'Check the configuration file, every section of it')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Print the activity log: who connected, who asked for what, what came of it')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Write the hub''s identities, keys and certificates into one file, also while it runs')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Make a hub''s state directory out of a backup')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;device' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one device')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Keep a device out until it is enabled again; its connection and streams end')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Let a device in again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a line with which the device gets a new key')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a device; its connection and streams end')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;device;add' {
            [CompletionResult]::new('--link-for', '--link-for', [CompletionResultType]::ParameterName, 'How long the printed line works')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'How long the printed line works')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;disable' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;enable' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;rotate' {
            [CompletionResult]::new('--overlap', '--overlap', [CompletionResultType]::ParameterName, 'How long the old key still works once the new one is there; with 0s, what it holds ends at once')
            [CompletionResult]::new('--link-for', '--link-for', [CompletionResultType]::ParameterName, 'How long the printed line works')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'How long the printed line works')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;remove' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;help' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one device')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Keep a device out until it is enabled again; its connection and streams end')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Let a device in again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a line with which the device gets a new key')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a device; its connection and streams end')
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
        'devstream;hub;device;help;disable' {
            break
        }
        'devstream;hub;device;help;enable' {
            break
        }
        'devstream;hub;device;help;rotate' {
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
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the line that its machine joins with; it may reach what is named here, and nothing else')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Change what a service may reach; what is not named stays. Streams outside of it end')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one service')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Keep a service out until it is enabled again; its streams end')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Let a service in again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a line with which the service gets a new key')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a service; its streams end')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;service;add' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Devices it may reach: ids, or patterns with * and ? (repeatable)')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Stream names it may ask for: names, or patterns with * and ? (repeatable) [default: any]')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'How long, from now, such as 8h or 30d; or `ever`')
            [CompletionResult]::new('--max-streams', '--max-streams', [CompletionResultType]::ParameterName, 'How many streams at once; or `any`')
            [CompletionResult]::new('--link-for', '--link-for', [CompletionResultType]::ParameterName, 'How long the printed line works')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;set' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Devices it may reach: ids, or patterns with * and ? (repeatable)')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Stream names it may ask for: names, or patterns with * and ? (repeatable) [default: any]')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'How long, from now, such as 8h or 30d; or `ever`')
            [CompletionResult]::new('--max-streams', '--max-streams', [CompletionResultType]::ParameterName, 'How many streams at once; or `any`')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;disable' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;enable' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;rotate' {
            [CompletionResult]::new('--overlap', '--overlap', [CompletionResultType]::ParameterName, 'How long the old key still works once the new one is there; with 0s, what it holds ends at once')
            [CompletionResult]::new('--link-for', '--link-for', [CompletionResultType]::ParameterName, 'How long the printed line works')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'How long the printed line works')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;remove' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;help' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the line that its machine joins with; it may reach what is named here, and nothing else')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Change what a service may reach; what is not named stays. Streams outside of it end')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one service')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Keep a service out until it is enabled again; its streams end')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Let a service in again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a line with which the service gets a new key')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a service; its streams end')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;service;help;add' {
            break
        }
        'devstream;hub;service;help;set' {
            break
        }
        'devstream;hub;service;help;list' {
            break
        }
        'devstream;hub;service;help;show' {
            break
        }
        'devstream;hub;service;help;disable' {
            break
        }
        'devstream;hub;service;help;enable' {
            break
        }
        'devstream;hub;service;help;rotate' {
            break
        }
        'devstream;hub;service;help;remove' {
            break
        }
        'devstream;hub;service;help;help' {
            break
        }
        'devstream;hub;enroll' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Make an enrolment key, and print it')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the enrolment keys: for which ids, how often used, until when')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Make an enrolment key void; the devices that joined with it stay')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;enroll;add' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'The ids that devices may join as: a pattern with * and ?')
            [CompletionResult]::new('--uses', '--uses', [CompletionResultType]::ParameterName, 'How many devices may join with it')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'How long it works')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;enroll;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;enroll;remove' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;enroll;help' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Make an enrolment key, and print it')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the enrolment keys: for which ids, how often used, until when')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Make an enrolment key void; the devices that joined with it stay')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;enroll;help;add' {
            break
        }
        'devstream;hub;enroll;help;list' {
            break
        }
        'devstream;hub;enroll;help;remove' {
            break
        }
        'devstream;hub;enroll;help;help' {
            break
        }
        'devstream;hub;devices' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;streams' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the streams')
            [CompletionResult]::new('kill', 'kill', [CompletionResultType]::ParameterValue, 'End a stream; both of its ends are told why')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;streams;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;streams;kill' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;streams;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the streams')
            [CompletionResult]::new('kill', 'kill', [CompletionResultType]::ParameterValue, 'End a stream; both of its ends are told why')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;streams;help;list' {
            break
        }
        'devstream;hub;streams;help;kill' {
            break
        }
        'devstream;hub;streams;help;help' {
            break
        }
        'devstream;hub;status' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;check' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;check-config' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;logs' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Only lines of this device')
            [CompletionResult]::new('--service', '--service', [CompletionResultType]::ParameterName, 'Only lines of this service')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Only lines of the last while, such as 90s, 30m, 12h or 7d')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Print new lines too as they come, until Ctrl-C; without --since, begin with the last 10')
            [CompletionResult]::new('--follow', '--follow', [CompletionResultType]::ParameterName, 'Print new lines too as they come, until Ctrl-C; without --since, begin with the last 10')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As the JSON lines they are')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;backup' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;restore' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where the hub keeps everything [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;help' {
            [CompletionResult]::new('device', 'device', [CompletionResultType]::ParameterValue, 'Manage the devices that may wait here')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Manage the services (operators, jobs) that may ask for streams')
            [CompletionResult]::new('enroll', 'enroll', [CompletionResultType]::ParameterValue, 'Manage enrolment keys: one secret with which many devices join, each with a key of its own')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List the devices: who is online, since when, from where, what it offers')
            [CompletionResult]::new('streams', 'streams', [CompletionResultType]::ParameterValue, 'List the streams, or end one')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Print how the hub is: up since, counts, certificate, memory, file descriptors')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that the hub runs, is reached under its join links'' name, and has what it needs: certificate, clock, file descriptors, disk')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the hub''s name, streaming endpoints and pin as JSON')
            [CompletionResult]::new('check-config', 'check-config', [CompletionResultType]::ParameterValue, 'Check the configuration file, every section of it')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Print the activity log: who connected, who asked for what, what came of it')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Write the hub''s identities, keys and certificates into one file, also while it runs')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Make a hub''s state directory out of a backup')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;help;device' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one device')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Keep a device out until it is enabled again; its connection and streams end')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Let a device in again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a line with which the device gets a new key')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a device; its connection and streams end')
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
        'devstream;hub;help;device;disable' {
            break
        }
        'devstream;hub;help;device;enable' {
            break
        }
        'devstream;hub;help;device;rotate' {
            break
        }
        'devstream;hub;help;device;remove' {
            break
        }
        'devstream;hub;help;service' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the line that its machine joins with; it may reach what is named here, and nothing else')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Change what a service may reach; what is not named stays. Streams outside of it end')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one service')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Keep a service out until it is enabled again; its streams end')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Let a service in again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a line with which the service gets a new key')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a service; its streams end')
            break
        }
        'devstream;hub;help;service;add' {
            break
        }
        'devstream;hub;help;service;set' {
            break
        }
        'devstream;hub;help;service;list' {
            break
        }
        'devstream;hub;help;service;show' {
            break
        }
        'devstream;hub;help;service;disable' {
            break
        }
        'devstream;hub;help;service;enable' {
            break
        }
        'devstream;hub;help;service;rotate' {
            break
        }
        'devstream;hub;help;service;remove' {
            break
        }
        'devstream;hub;help;enroll' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Make an enrolment key, and print it')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the enrolment keys: for which ids, how often used, until when')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Make an enrolment key void; the devices that joined with it stay')
            break
        }
        'devstream;hub;help;enroll;add' {
            break
        }
        'devstream;hub;help;enroll;list' {
            break
        }
        'devstream;hub;help;enroll;remove' {
            break
        }
        'devstream;hub;help;devices' {
            break
        }
        'devstream;hub;help;streams' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the streams')
            [CompletionResult]::new('kill', 'kill', [CompletionResultType]::ParameterValue, 'End a stream; both of its ends are told why')
            break
        }
        'devstream;hub;help;streams;list' {
            break
        }
        'devstream;hub;help;streams;kill' {
            break
        }
        'devstream;hub;help;status' {
            break
        }
        'devstream;hub;help;check' {
            break
        }
        'devstream;hub;help;show' {
            break
        }
        'devstream;hub;help;check-config' {
            break
        }
        'devstream;hub;help;logs' {
            break
        }
        'devstream;hub;help;backup' {
            break
        }
        'devstream;hub;help;restore' {
            break
        }
        'devstream;hub;help;help' {
            break
        }
        'devstream;join' {
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the hub''s certificate if an authority in this PEM file signed it, instead of the pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'The file with the proxy''s USER:PASSWORD, which nobody else may read')
            [CompletionResult]::new('--id', '--id', [CompletionResultType]::ParameterName, 'The device''s id, where the link leaves that to the machine [default: the host name]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--replace', '--replace', [CompletionResultType]::ParameterName, 'In the place of what this profile joined before, if that is another identity or another hub''s')
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
            [CompletionResult]::new('--allow-service', '--allow-service', [CompletionResultType]::ParameterName, 'A service to let in, by name or pattern; others are refused, whatever the hub says (repeatable) [default: all]')
            [CompletionResult]::new('--accept-command', '--accept-command', [CompletionResultType]::ParameterName, 'A shell command that decides about each stream: exit status 0 lets it in')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Where the hub is, if not where it was when this machine joined; without a port, 443 (repeatable)')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the hub''s certificate if an authority in this PEM file signed it, instead of the pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'The file with the proxy''s USER:PASSWORD, which nobody else may read')
            [CompletionResult]::new('--dead-after', '--dead-after', [CompletionResultType]::ParameterName, 'Give up a connection on which nothing was heard for so long; from 4 s to a day')
            [CompletionResult]::new('--standbys', '--standbys', [CompletionResultType]::ParameterName, 'Keep at most so many connections ready for streams, once there are streams, so that they open at once; 0 keeps none')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'How long running streams may go on after a first SIGTERM or Ctrl-C')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Go on where a proxy on the way inspects TLS, if the hub allows it too')
            [CompletionResult]::new('--no-resume', '--no-resume', [CompletionResultType]::ParameterName, 'Reset a stream''s local connections when its connection to the hub breaks, instead of resuming it')
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
            [CompletionResult]::new('--strip', '--strip', [CompletionResultType]::ParameterName, 'What --device has after the device''s id, as in OpenSSH''s names of hosts: .devstream')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'The stream that --stdio asks for [default: the device''s first forward]')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'How long to wait for an offline device to come online; at most 60')
            [CompletionResult]::new('--response-timeout', '--response-timeout', [CompletionResultType]::ParameterName, 'How long to wait for an online device to answer; at most 60')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Where the hub is, if not where it was when this machine joined; without a port, 443 (repeatable)')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the hub''s certificate if an authority in this PEM file signed it, instead of the pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'The file with the proxy''s USER:PASSWORD, which nobody else may read')
            [CompletionResult]::new('--dead-after', '--dead-after', [CompletionResultType]::ParameterName, 'Give up a connection on which nothing was heard for so long; from 4 s to a day')
            [CompletionResult]::new('--standbys', '--standbys', [CompletionResultType]::ParameterName, 'Keep at most so many connections ready for streams, once there are streams, so that they open at once; 0 keeps none')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'How long running streams may go on after a first SIGTERM or Ctrl-C')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--stdio', '--stdio', [CompletionResultType]::ParameterName, 'One stream on standard input and output, for ssh''s ProxyCommand')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Go on where a proxy on the way inspects TLS, if the hub allows it too')
            [CompletionResult]::new('--no-resume', '--no-resume', [CompletionResultType]::ParameterName, 'Reset a stream''s local connections when its connection to the hub breaks, instead of resuming it')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;service' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('install', 'install', [CompletionResultType]::ParameterValue, 'Write hardened units for a role, enable and start them')
            [CompletionResult]::new('uninstall', 'uninstall', [CompletionResultType]::ParameterValue, 'Stop a role''s units and remove them; what it kept stays')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;service;install' {
            [CompletionResult]::new('--root', '--root', [CompletionResultType]::ParameterName, 'Below this directory instead of /, starting nothing: for packages and images')
            [CompletionResult]::new('--program', '--program', [CompletionResultType]::ParameterName, 'What the units run [default: this program]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--print', '--print', [CompletionResultType]::ParameterName, 'Print the units instead')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;service;uninstall' {
            [CompletionResult]::new('--root', '--root', [CompletionResultType]::ParameterName, 'Below this directory instead of /, stopping nothing')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;service;help' {
            [CompletionResult]::new('install', 'install', [CompletionResultType]::ParameterValue, 'Write hardened units for a role, enable and start them')
            [CompletionResult]::new('uninstall', 'uninstall', [CompletionResultType]::ParameterValue, 'Stop a role''s units and remove them; what it kept stays')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;service;help;install' {
            break
        }
        'devstream;service;help;uninstall' {
            break
        }
        'devstream;service;help;help' {
            break
        }
        'devstream;demo' {
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'The local port; 0 takes any free port')
            [CompletionResult]::new('--forward', '--forward', [CompletionResultType]::ParameterName, 'The target, and its name [default: 22 if something listens there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;devices' {
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Where the hub is, if not where it was when this machine joined; without a port, 443 (repeatable)')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the hub''s certificate if an authority in this PEM file signed it, instead of the pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'The file with the proxy''s USER:PASSWORD, which nobody else may read')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Go on where a proxy on the way inspects TLS, if the hub allows it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;check' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Go on to this device')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'The stream to ask for [default: the device''s first forward]')
            [CompletionResult]::new('--forward', '--forward', [CompletionResultType]::ParameterName, 'Check as a device: whether this target answers here, instead of those in the device-agent''s settings (repeatable)')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Where the hub is, if not where it was when this machine joined; without a port, 443 (repeatable)')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the hub''s certificate if an authority in this PEM file signed it, instead of the pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'The file with the proxy''s USER:PASSWORD, which nobody else may read')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Go on where a proxy on the way inspects TLS, if the hub allows it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;status' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;ssh' {
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'The stream that leads to the device''s SSH server: what its forward is called')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;ssh-config' {
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'The stream that leads to the device''s SSH server: what its forward is called')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--install', '--install', [CompletionResultType]::ParameterName, 'Put it into a file of its own, and one Include line for that at the top of ~/.ssh/config')
            [CompletionResult]::new('--uninstall', '--uninstall', [CompletionResultType]::ParameterName, 'Take both away again')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;rdp' {
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'The stream that leads to the device''s desktop: what its forward is called')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--no-client', '--no-client', [CompletionResultType]::ParameterName, 'Start no client: print the address and the .rdp file, and serve until Ctrl-C')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;profiles' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('use', 'use', [CompletionResultType]::ParameterValue, 'Have a profile hold wherever none is named')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a profile''s identities: their keys are gone, and their ids join again with new links')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;profiles;use' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;profiles;remove' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;profiles;help' {
            [CompletionResult]::new('use', 'use', [CompletionResultType]::ParameterValue, 'Have a profile hold wherever none is named')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a profile''s identities: their keys are gone, and their ids join again with new links')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;profiles;help;use' {
            break
        }
        'devstream;profiles;help;remove' {
            break
        }
        'devstream;profiles;help;help' {
            break
        }
        'devstream;config' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Write the file with every key in it, commented out, with its meaning and its default')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print what holds for each setting, and where it comes from: a flag, the environment, the file or the default')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;config;init' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Over a file that is there')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;config;show' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file [default: devstream/config.toml in the user''s configuration directory, if it is there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;config;help' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Write the file with every key in it, commented out, with its meaning and its default')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print what holds for each setting, and where it comes from: a flag, the environment, the file or the default')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;config;help;init' {
            break
        }
        'devstream;config;help;show' {
            break
        }
        'devstream;config;help;help' {
            break
        }
        'devstream;completions' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How messages are written to standard error: for a person, or as one JSON object each')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles use`, else default]')
            [CompletionResult]::new('--static', '--static', [CompletionResultType]::ParameterName, 'A script that knows the flags by itself and asks nobody')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more; twice for everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;help' {
            [CompletionResult]::new('hub', 'hub', [CompletionResultType]::ParameterValue, 'Run the meeting point, or manage the one that is running')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Enrol this machine with the line that a hub printed')
            [CompletionResult]::new('device-agent', 'device-agent', [CompletionResultType]::ParameterValue, 'Run the device''s end: dial out to the hub, wait, and connect streams to local targets')
            [CompletionResult]::new('service-proxy', 'service-proxy', [CompletionResultType]::ParameterValue, 'Run the operator''s end: local ports whose connections become streams to a device')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Run a role as a service of this machine, under systemd')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Show it all at once: hub, device-agent and service-proxy in one process, on loopback')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List the devices that I may reach: online, last seen, what they offer')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check every hop on the way, and say which one fails, why, and what to do next')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show what of this user runs on this machine, to which hub, and as whom')
            [CompletionResult]::new('ssh', 'ssh', [CompletionResultType]::ParameterValue, 'Run OpenSSH''s `ssh` to a device')
            [CompletionResult]::new('ssh-config', 'ssh-config', [CompletionResultType]::ParameterValue, 'Print what lets OpenSSH reach every device by its name, as in `ssh pi-42.devstream`')
            [CompletionResult]::new('rdp', 'rdp', [CompletionResultType]::ParameterValue, 'Open a device''s desktop: a local port, an .rdp file, and a remote desktop client')
            [CompletionResult]::new('profiles', 'profiles', [CompletionResultType]::ParameterValue, 'List the hubs and identities that this machine joined with, or choose among them')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Write a configuration file to begin with, or print what holds')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script, to be run by the shell when it starts')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;help;hub' {
            [CompletionResult]::new('device', 'device', [CompletionResultType]::ParameterValue, 'Manage the devices that may wait here')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Manage the services (operators, jobs) that may ask for streams')
            [CompletionResult]::new('enroll', 'enroll', [CompletionResultType]::ParameterValue, 'Manage enrolment keys: one secret with which many devices join, each with a key of its own')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List the devices: who is online, since when, from where, what it offers')
            [CompletionResult]::new('streams', 'streams', [CompletionResultType]::ParameterValue, 'List the streams, or end one')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Print how the hub is: up since, counts, certificate, memory, file descriptors')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that the hub runs, is reached under its join links'' name, and has what it needs: certificate, clock, file descriptors, disk')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the hub''s name, streaming endpoints and pin as JSON')
            [CompletionResult]::new('check-config', 'check-config', [CompletionResultType]::ParameterValue, 'Check the configuration file, every section of it')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Print the activity log: who connected, who asked for what, what came of it')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Write the hub''s identities, keys and certificates into one file, also while it runs')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Make a hub''s state directory out of a backup')
            break
        }
        'devstream;help;hub;device' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the line that its machine joins with')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one device')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Keep a device out until it is enabled again; its connection and streams end')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Let a device in again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a line with which the device gets a new key')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a device; its connection and streams end')
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
        'devstream;help;hub;device;disable' {
            break
        }
        'devstream;help;hub;device;enable' {
            break
        }
        'devstream;help;hub;device;rotate' {
            break
        }
        'devstream;help;hub;device;remove' {
            break
        }
        'devstream;help;hub;service' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the line that its machine joins with; it may reach what is named here, and nothing else')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Change what a service may reach; what is not named stays. Streams outside of it end')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one service')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Keep a service out until it is enabled again; its streams end')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Let a service in again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a line with which the service gets a new key')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a service; its streams end')
            break
        }
        'devstream;help;hub;service;add' {
            break
        }
        'devstream;help;hub;service;set' {
            break
        }
        'devstream;help;hub;service;list' {
            break
        }
        'devstream;help;hub;service;show' {
            break
        }
        'devstream;help;hub;service;disable' {
            break
        }
        'devstream;help;hub;service;enable' {
            break
        }
        'devstream;help;hub;service;rotate' {
            break
        }
        'devstream;help;hub;service;remove' {
            break
        }
        'devstream;help;hub;enroll' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Make an enrolment key, and print it')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the enrolment keys: for which ids, how often used, until when')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Make an enrolment key void; the devices that joined with it stay')
            break
        }
        'devstream;help;hub;enroll;add' {
            break
        }
        'devstream;help;hub;enroll;list' {
            break
        }
        'devstream;help;hub;enroll;remove' {
            break
        }
        'devstream;help;hub;devices' {
            break
        }
        'devstream;help;hub;streams' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the streams')
            [CompletionResult]::new('kill', 'kill', [CompletionResultType]::ParameterValue, 'End a stream; both of its ends are told why')
            break
        }
        'devstream;help;hub;streams;list' {
            break
        }
        'devstream;help;hub;streams;kill' {
            break
        }
        'devstream;help;hub;status' {
            break
        }
        'devstream;help;hub;check' {
            break
        }
        'devstream;help;hub;show' {
            break
        }
        'devstream;help;hub;check-config' {
            break
        }
        'devstream;help;hub;logs' {
            break
        }
        'devstream;help;hub;backup' {
            break
        }
        'devstream;help;hub;restore' {
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
        'devstream;help;service' {
            [CompletionResult]::new('install', 'install', [CompletionResultType]::ParameterValue, 'Write hardened units for a role, enable and start them')
            [CompletionResult]::new('uninstall', 'uninstall', [CompletionResultType]::ParameterValue, 'Stop a role''s units and remove them; what it kept stays')
            break
        }
        'devstream;help;service;install' {
            break
        }
        'devstream;help;service;uninstall' {
            break
        }
        'devstream;help;demo' {
            break
        }
        'devstream;help;devices' {
            break
        }
        'devstream;help;check' {
            break
        }
        'devstream;help;status' {
            break
        }
        'devstream;help;ssh' {
            break
        }
        'devstream;help;ssh-config' {
            break
        }
        'devstream;help;rdp' {
            break
        }
        'devstream;help;profiles' {
            [CompletionResult]::new('use', 'use', [CompletionResultType]::ParameterValue, 'Have a profile hold wherever none is named')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Forget a profile''s identities: their keys are gone, and their ids join again with new links')
            break
        }
        'devstream;help;profiles;use' {
            break
        }
        'devstream;help;profiles;remove' {
            break
        }
        'devstream;help;config' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Write the file with every key in it, commented out, with its meaning and its default')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print what holds for each setting, and where it comes from: a flag, the environment, the file or the default')
            break
        }
        'devstream;help;config;init' {
            break
        }
        'devstream;help;config;show' {
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


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
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('hub', 'hub', [CompletionResultType]::ParameterValue, 'Run a hub, or manage the running one')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Enrol this machine with a join link from a hub')
            [CompletionResult]::new('device-agent', 'device-agent', [CompletionResultType]::ParameterValue, 'Run the device''s end: dial out to the hub, and connect streams to local targets')
            [CompletionResult]::new('service-proxy', 'service-proxy', [CompletionResultType]::ParameterValue, 'Run the operator''s end: local ports whose connections become streams to a device')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Install or remove a role as a systemd service')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Try devstream: a hub, a device-agent and a service-proxy in one process, on loopback')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List the devices that you may reach: state, last seen, streams offered, end-to-end key if it is known here')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check every hop to the hub, a device and its target: which one fails, why, and what to do next')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the roles of this user that run on this machine: process, identity, hub, state and streams')
            [CompletionResult]::new('ssh', 'ssh', [CompletionResultType]::ParameterValue, 'Run OpenSSH''s `ssh` to a device')
            [CompletionResult]::new('ssh-config', 'ssh-config', [CompletionResultType]::ParameterValue, 'Print the OpenSSH configuration to reach every device by its name, as in `ssh pi-42.devstream`')
            [CompletionResult]::new('rdp', 'rdp', [CompletionResultType]::ParameterValue, 'Open a device''s desktop: a local port, an .rdp file, and a remote desktop client')
            [CompletionResult]::new('profiles', 'profiles', [CompletionResultType]::ParameterValue, 'List the profiles: hubs and identities that this machine joined, or set the default')
            [CompletionResult]::new('identity', 'identity', [CompletionResultType]::ParameterValue, 'Show who this machine is: role, id, hub and end-to-end key of each of its identities')
            [CompletionResult]::new('trust', 'trust', [CompletionResultType]::ParameterValue, 'List, pin or forget the end-to-end keys of the devices and services that this machine knows')
            [CompletionResult]::new('fleet', 'fleet', [CompletionResultType]::ParameterValue, 'Keep the key of a fleet, and sign the end-to-end keys of your devices and services with it')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Write a commented configuration file, or print the effective settings')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script, for the shell to load at startup')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub' {
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Listen on this address, or this port of all addresses; port 0 takes any free port (repeatable) [default: [::]:8443]')
            [CompletionResult]::new('--hostname', '--hostname', [CompletionResultType]::ParameterName, 'Public host name of this hub; the first goes into join links, all into the certificate (repeatable)')
            [CompletionResult]::new('--tls-cert', '--tls-cert', [CompletionResultType]::ParameterName, 'Present this certificate (PEM, with its intermediates) for the names it covers')
            [CompletionResult]::new('--tls-key', '--tls-key', [CompletionResultType]::ParameterName, 'Use this private key for it (PEM, unencrypted); no other user may have access to the file')
            [CompletionResult]::new('--acme-directory', '--acme-directory', [CompletionResultType]::ParameterName, 'Use this ACME directory')
            [CompletionResult]::new('--acme-contact', '--acme-contact', [CompletionResultType]::ParameterName, 'Give the authority this contact, as mailto:NAME@HOST')
            [CompletionResult]::new('--acme-ca', '--acme-ca', [CompletionResultType]::ParameterName, 'Trust the authorities in this PEM file for the ACME directory, instead of the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--proxy-protocol-from', '--proxy-protocol-from', [CompletionResultType]::ParameterName, 'Take the client''s address from the PROXY protocol header of connections from this load balancer, an address or a network such as 10.0.0.0/24 (repeatable)')
            [CompletionResult]::new('--streaming-endpoint', '--streaming-endpoint', [CompletionResultType]::ParameterName, 'Public base URL of the streaming endpoint, instead of the hub''s')
            [CompletionResult]::new('--streaming-listen', '--streaming-listen', [CompletionResultType]::ParameterName, 'Listen on this address for the streaming endpoint')
            [CompletionResult]::new('--handshake-timeout', '--handshake-timeout', [CompletionResultType]::ParameterName, 'Limit a stream''s handshake, and the validity of its token; at most 60 s')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'Let running streams go on for this long after a first SIGTERM or Ctrl-C')
            [CompletionResult]::new('--metrics', '--metrics', [CompletionResultType]::ParameterName, 'Serve /metrics (OpenMetrics, for Prometheus), /healthz and /readyz here: plain HTTP, for a private network only')
            [CompletionResult]::new('--dead-after', '--dead-after', [CompletionResultType]::ParameterName, 'Close connections that are silent this long; from 4 s to a day')
            [CompletionResult]::new('--standbys', '--standbys', [CompletionResultType]::ParameterName, 'Keep this many standby connections for further streams, so that they open at once; 0 keeps none')
            [CompletionResult]::new('--resume-grace', '--resume-grace', [CompletionResultType]::ParameterName, 'Keep an interrupted stream for this long before its local connections are reset, such as 30s, 2m or 8h; at most a day')
            [CompletionResult]::new('--memory-budget', '--memory-budget', [CompletionResultType]::ParameterName, 'Memory budget, such as 512MiB; near it new streams, then connections, are refused [default: the limit of the control group or `ulimit -v`]')
            [CompletionResult]::new('--tls-timeout', '--tls-timeout', [CompletionResultType]::ParameterName, 'Limit the time from accepting a connection until TLS is established')
            [CompletionResult]::new('--head-timeout', '--head-timeout', [CompletionResultType]::ParameterName, 'Limit the time to receive a request''s head, and the idle time between two requests')
            [CompletionResult]::new('--auth-timeout', '--auth-timeout', [CompletionResultType]::ParameterName, 'Limit the time from TLS until a connection is authenticated')
            [CompletionResult]::new('--max-head', '--max-head', [CompletionResultType]::ParameterName, 'Limit the size of a request''s line and headers')
            [CompletionResult]::new('--max-head-fields', '--max-head-fields', [CompletionResultType]::ParameterName, 'Limit the number of a request''s header fields')
            [CompletionResult]::new('--max-unauthenticated', '--max-unauthenticated', [CompletionResultType]::ParameterName, 'Maximum unauthenticated connections; a quarter is for addresses with good keys, and one for the others')
            [CompletionResult]::new('--max-unauthenticated-per-source', '--max-unauthenticated-per-source', [CompletionResultType]::ParameterName, 'Maximum unauthenticated connections from one IPv4 address or IPv6 /64')
            [CompletionResult]::new('--max-pending', '--max-pending', [CompletionResultType]::ParameterName, 'Maximum streams being opened')
            [CompletionResult]::new('--max-pending-per-device', '--max-pending-per-device', [CompletionResultType]::ParameterName, 'Maximum streams being opened to one device; one service may have half of them')
            [CompletionResult]::new('--max-pending-per-service', '--max-pending-per-service', [CompletionResultType]::ParameterName, 'Maximum streams being opened for one service')
            [CompletionResult]::new('--max-streams', '--max-streams', [CompletionResultType]::ParameterName, 'Maximum streams')
            [CompletionResult]::new('--max-streams-per-device', '--max-streams-per-device', [CompletionResultType]::ParameterName, 'Maximum streams to one device; one service may have as many of them as are left')
            [CompletionResult]::new('--max-streams-per-service', '--max-streams-per-service', [CompletionResultType]::ParameterName, 'Maximum streams for one service')
            [CompletionResult]::new('--penalty-threshold', '--penalty-threshold', [CompletionResultType]::ParameterName, 'Ban a source once its penalties reach this (failed authentication 5 s, timeout 10 s, malformed input 1 s)')
            [CompletionResult]::new('--penalty-max', '--penalty-max', [CompletionResultType]::ParameterName, 'Ban a source for at most this long; one with authenticated connections is throttled instead')
            [CompletionResult]::new('--penalty-exempt', '--penalty-exempt', [CompletionResultType]::ParameterName, 'Never penalise this network, such as 10.0.0.0/8 (repeatable)')
            [CompletionResult]::new('--activity-rotate-size', '--activity-rotate-size', [CompletionResultType]::ParameterName, 'Rotate the activity log before it grows beyond this size')
            [CompletionResult]::new('--activity-rotate-age', '--activity-rotate-age', [CompletionResultType]::ParameterName, 'Rotate the file once its first line is this old, whatever its size')
            [CompletionResult]::new('--activity-keep-size', '--activity-keep-size', [CompletionResultType]::ParameterName, 'Delete the oldest files, so that all together never exceed this size; at least twice the rotate size')
            [CompletionResult]::new('--activity-keep-age', '--activity-keep-age', [CompletionResultType]::ParameterName, 'Delete files that were rotated longer ago than this')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--acme', '--acme', [CompletionResultType]::ParameterName, 'Obtain a certificate for every --hostname by ACME, and agree to the authority''s terms')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Accept clients behind proxies that inspect TLS, if they allow it too')
            [CompletionResult]::new('--no-resume', '--no-resume', [CompletionResultType]::ParameterName, 'Reset a stream''s local connections when its connection to the hub breaks, instead of resuming it')
            [CompletionResult]::new('--audit-required', '--audit-required', [CompletionResultType]::ParameterName, 'Refuse new streams while the activity log cannot be written; running ones go on')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('device', 'device', [CompletionResultType]::ParameterValue, 'Manage devices')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Manage services: operators and jobs that open streams')
            [CompletionResult]::new('enroll', 'enroll', [CompletionResultType]::ParameterValue, 'Manage enrolment keys: one secret with which many devices join, each with a key of its own')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List devices: state, since when, address, streams offered')
            [CompletionResult]::new('streams', 'streams', [CompletionResultType]::ParameterValue, 'List streams, or end one')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the hub''s status: uptime, counts, certificate, memory, file descriptors')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that the hub runs, is reached under the name in its join links, and has a valid certificate, file descriptors and disk space')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the hub''s name, streaming endpoints and pin as JSON')
            [CompletionResult]::new('check-config', 'check-config', [CompletionResultType]::ParameterValue, 'Check the configuration file, with all its sections')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Print the activity log: connections, requests for streams, and their results')
            [CompletionResult]::new('cluster', 'cluster', [CompletionResultType]::ParameterValue, 'Several hubs as one: over NATS servers of your own')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Write the hub''s identities, keys and certificates into one file; works while it runs')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Restore a hub''s state directory from a backup')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;device' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the command with which its machine joins')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a device and its keys')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Disable a device, and end its connection and streams')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Enable a device again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a command with which the device gets a new key; the present one works until then, and for --overlap after')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a device, and end its connection and streams')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;device;add' {
            [CompletionResult]::new('--link-for', '--link-for', [CompletionResultType]::ParameterName, 'Keep the join link valid for this long')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Keep the join link valid for this long')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;disable' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;enable' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;rotate' {
            [CompletionResult]::new('--overlap', '--overlap', [CompletionResultType]::ParameterName, 'Accept the old key for this long after the new one joined; 0s ends its connections at once')
            [CompletionResult]::new('--link-for', '--link-for', [CompletionResultType]::ParameterName, 'Keep the join link valid for this long')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Keep the join link valid for this long')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;remove' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;device;help' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the command with which its machine joins')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a device and its keys')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Disable a device, and end its connection and streams')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Enable a device again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a command with which the device gets a new key; the present one works until then, and for --overlap after')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a device, and end its connection and streams')
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
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the command with which its machine joins; it may reach what is named here, nothing else')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Change what a service may reach, and end its other streams; what is not named stays')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a service and its keys')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Disable a service, and end its streams')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Enable a service again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a command with which the service gets a new key; the present one works until then, and for --overlap after')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a service, and end its streams')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;service;add' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Allow this device: an id, or a pattern with * and ? (repeatable)')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Allow this stream name, or pattern with * and ? (repeatable) [default: any]')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Allow access for this long from now, such as 8h or 30d; or `ever`')
            [CompletionResult]::new('--max-streams', '--max-streams', [CompletionResultType]::ParameterName, 'Allow this many streams at once; or `any`')
            [CompletionResult]::new('--link-for', '--link-for', [CompletionResultType]::ParameterName, 'Keep the join link valid for this long')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;set' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Allow this device: an id, or a pattern with * and ? (repeatable)')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Allow this stream name, or pattern with * and ? (repeatable) [default: any]')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Allow access for this long from now, such as 8h or 30d; or `ever`')
            [CompletionResult]::new('--max-streams', '--max-streams', [CompletionResultType]::ParameterName, 'Allow this many streams at once; or `any`')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;disable' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;enable' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;rotate' {
            [CompletionResult]::new('--overlap', '--overlap', [CompletionResultType]::ParameterName, 'Accept the old key for this long after the new one joined; 0s ends its connections at once')
            [CompletionResult]::new('--link-for', '--link-for', [CompletionResultType]::ParameterName, 'Keep the join link valid for this long')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Keep the join link valid for this long')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;remove' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;service;help' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the command with which its machine joins; it may reach what is named here, nothing else')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Change what a service may reach, and end its other streams; what is not named stays')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a service and its keys')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Disable a service, and end its streams')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Enable a service again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a command with which the service gets a new key; the present one works until then, and for --overlap after')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a service, and end its streams')
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
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Create an enrolment key, and print it')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List enrolment keys: ids, uses, validity')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Revoke an enrolment key; devices that joined with it stay')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;enroll;add' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Let devices join under ids of this pattern, with * and ?')
            [CompletionResult]::new('--uses', '--uses', [CompletionResultType]::ParameterName, 'Let this many devices join')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Keep the key valid for this long')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;enroll;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;enroll;remove' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;enroll;help' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Create an enrolment key, and print it')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List enrolment keys: ids, uses, validity')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Revoke an enrolment key; devices that joined with it stay')
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
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;streams' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List streams')
            [CompletionResult]::new('kill', 'kill', [CompletionResultType]::ParameterValue, 'End a stream, and tell both ends why')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;streams;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;streams;kill' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;streams;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List streams')
            [CompletionResult]::new('kill', 'kill', [CompletionResultType]::ParameterValue, 'End a stream, and tell both ends why')
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
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;check' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;check-config' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;logs' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Print only entries of this device')
            [CompletionResult]::new('--service', '--service', [CompletionResultType]::ParameterName, 'Print only entries of this service')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Print only entries not older than this, such as 90s, 30m, 12h or 7d')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Go on printing new entries until Ctrl-C; without --since, start with the last 10')
            [CompletionResult]::new('--follow', '--follow', [CompletionResultType]::ParameterName, 'Go on printing new entries until Ctrl-C; without --since, start with the last 10')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON lines, as they are stored; in a cluster, with the hub''s address first')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;cluster' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make this hub the first of several; it takes effect when the hub is restarted')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Print the command with which one more hub joins')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Make a new hub of the cluster on this machine; reads the link from standard input')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the hubs: state, version, since when, devices, streams')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Put this hub''s identities into the NATS servers'' store, where that has lost them')
            [CompletionResult]::new('leave', 'leave', [CompletionResultType]::ParameterValue, 'Make this hub one that is alone; it takes effect when the hub is restarted')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;cluster;init' {
            [CompletionResult]::new('--nats', '--nats', [CompletionResultType]::ParameterName, 'URLs of the NATS servers (repeatable)')
            [CompletionResult]::new('--nats-creds', '--nats-creds', [CompletionResultType]::ParameterName, 'File with the credentials for them, as `nsc generate creds` writes it; its content is kept with the hub''s state')
            [CompletionResult]::new('--nats-ca', '--nats-ca', [CompletionResultType]::ParameterName, 'Trust the authorities in this PEM file for their certificates, beside those of the system')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'Name that this hub alone has, besides the one that all share: h1.hub.example.com beside hub.example.com')
            [CompletionResult]::new('--region', '--region', [CompletionResultType]::ParameterName, 'Region of this hub: a stream whose hub is gone goes on at one of the same, if there is one')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;cluster;invite' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;cluster;join' {
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'Name that this hub alone has, besides the one that all share: h1.hub.example.com beside hub.example.com')
            [CompletionResult]::new('--region', '--region', [CompletionResultType]::ParameterName, 'Region of this hub: a stream whose hub is gone goes on at one of the same, if there is one')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;cluster;status' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;cluster;restore' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Also where another cluster was founded there since')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;cluster;leave' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;cluster;help' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make this hub the first of several; it takes effect when the hub is restarted')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Print the command with which one more hub joins')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Make a new hub of the cluster on this machine; reads the link from standard input')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the hubs: state, version, since when, devices, streams')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Put this hub''s identities into the NATS servers'' store, where that has lost them')
            [CompletionResult]::new('leave', 'leave', [CompletionResultType]::ParameterValue, 'Make this hub one that is alone; it takes effect when the hub is restarted')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;cluster;help;init' {
            break
        }
        'devstream;hub;cluster;help;invite' {
            break
        }
        'devstream;hub;cluster;help;join' {
            break
        }
        'devstream;hub;cluster;help;status' {
            break
        }
        'devstream;hub;cluster;help;restore' {
            break
        }
        'devstream;hub;cluster;help;leave' {
            break
        }
        'devstream;hub;cluster;help;help' {
            break
        }
        'devstream;hub;backup' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;restore' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Keep the hub''s state in this directory [default: devstream/hub in the user''s data directory]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;hub;help' {
            [CompletionResult]::new('device', 'device', [CompletionResultType]::ParameterValue, 'Manage devices')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Manage services: operators and jobs that open streams')
            [CompletionResult]::new('enroll', 'enroll', [CompletionResultType]::ParameterValue, 'Manage enrolment keys: one secret with which many devices join, each with a key of its own')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List devices: state, since when, address, streams offered')
            [CompletionResult]::new('streams', 'streams', [CompletionResultType]::ParameterValue, 'List streams, or end one')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the hub''s status: uptime, counts, certificate, memory, file descriptors')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that the hub runs, is reached under the name in its join links, and has a valid certificate, file descriptors and disk space')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the hub''s name, streaming endpoints and pin as JSON')
            [CompletionResult]::new('check-config', 'check-config', [CompletionResultType]::ParameterValue, 'Check the configuration file, with all its sections')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Print the activity log: connections, requests for streams, and their results')
            [CompletionResult]::new('cluster', 'cluster', [CompletionResultType]::ParameterValue, 'Several hubs as one: over NATS servers of your own')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Write the hub''s identities, keys and certificates into one file; works while it runs')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Restore a hub''s state directory from a backup')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;hub;help;device' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the command with which its machine joins')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a device and its keys')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Disable a device, and end its connection and streams')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Enable a device again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a command with which the device gets a new key; the present one works until then, and for --overlap after')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a device, and end its connection and streams')
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
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the command with which its machine joins; it may reach what is named here, nothing else')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Change what a service may reach, and end its other streams; what is not named stays')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a service and its keys')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Disable a service, and end its streams')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Enable a service again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a command with which the service gets a new key; the present one works until then, and for --overlap after')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a service, and end its streams')
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
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Create an enrolment key, and print it')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List enrolment keys: ids, uses, validity')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Revoke an enrolment key; devices that joined with it stay')
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
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List streams')
            [CompletionResult]::new('kill', 'kill', [CompletionResultType]::ParameterValue, 'End a stream, and tell both ends why')
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
        'devstream;hub;help;cluster' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make this hub the first of several; it takes effect when the hub is restarted')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Print the command with which one more hub joins')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Make a new hub of the cluster on this machine; reads the link from standard input')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the hubs: state, version, since when, devices, streams')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Put this hub''s identities into the NATS servers'' store, where that has lost them')
            [CompletionResult]::new('leave', 'leave', [CompletionResultType]::ParameterValue, 'Make this hub one that is alone; it takes effect when the hub is restarted')
            break
        }
        'devstream;hub;help;cluster;init' {
            break
        }
        'devstream;hub;help;cluster;invite' {
            break
        }
        'devstream;hub;help;cluster;join' {
            break
        }
        'devstream;hub;help;cluster;status' {
            break
        }
        'devstream;hub;help;cluster;restore' {
            break
        }
        'devstream;hub;help;cluster;leave' {
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
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the authorities in this PEM file for the hub''s certificate, instead of its pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--id', '--id', [CompletionResultType]::ParameterName, 'Join as this device, where the link leaves the id to the machine [default: the host name]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--replace', '--replace', [CompletionResultType]::ParameterName, 'Replace the identity that this profile has already joined with')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Connect even if a proxy on the path inspects TLS, if the hub allows it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;device-agent' {
            [CompletionResult]::new('--forward', '--forward', [CompletionResultType]::ParameterName, 'Offer this target, under this name: 22, 3389, web=8080, db=10.0.0.5:5432 (repeatable; the first is the default)')
            [CompletionResult]::new('--id', '--id', [CompletionResultType]::ParameterName, 'Run as this device [default: the id that joined, else the host name]')
            [CompletionResult]::new('--allow-service', '--allow-service', [CompletionResultType]::ParameterName, 'Accept this service, by name or pattern, and reject others, whatever the hub allows (repeatable) [default: all]')
            [CompletionResult]::new('--allow-plain', '--allow-plain', [CompletionResultType]::ParameterName, 'Accept streams that are not encrypted end to end of this service, by name or pattern (repeatable) [default: none]')
            [CompletionResult]::new('--accept-command', '--accept-command', [CompletionResultType]::ParameterName, 'Run this shell command for each stream: exit status 0 accepts it')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the authorities in this PEM file for the hub''s certificate, instead of its pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--dead-after', '--dead-after', [CompletionResultType]::ParameterName, 'Close connections that are silent this long; from 4 s to a day')
            [CompletionResult]::new('--standbys', '--standbys', [CompletionResultType]::ParameterName, 'Keep this many standby connections for further streams, so that they open at once; 0 keeps none')
            [CompletionResult]::new('--max-streams', '--max-streams', [CompletionResultType]::ParameterName, 'Maximum streams; a device refuses more, and a proxy leaves further local connections waiting')
            [CompletionResult]::new('--memory-budget', '--memory-budget', [CompletionResultType]::ParameterName, 'Maximum bytes that all streams hold, received and not delivered or sent and not acknowledged; at least 1MiB')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'Let running streams go on for this long after a first SIGTERM or Ctrl-C')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Connect even if a proxy on the path inspects TLS, if the hub allows it too')
            [CompletionResult]::new('--no-resume', '--no-resume', [CompletionResultType]::ParameterName, 'Reset a stream''s local connections when its connection to the hub breaks, instead of resuming it')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;service-proxy' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Reach this device, unless DEVICE names one')
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'Listen on this local port for this stream: 2222, 0 (any free port), 8080=web, 0.0.0.0:2222 (repeatable)')
            [CompletionResult]::new('--strip', '--strip', [CompletionResultType]::ParameterName, 'Remove this suffix from --device instead of .devstream, which OpenSSH''s host names have')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Ask for this stream, with --stdio and at each --local without one [default: the device''s first forward]')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Wait this long for an offline device to come online; at most 60 s')
            [CompletionResult]::new('--response-timeout', '--response-timeout', [CompletionResultType]::ParameterName, 'Wait this long for an online device to answer; at most 60 s')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the authorities in this PEM file for the hub''s certificate, instead of its pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--dead-after', '--dead-after', [CompletionResultType]::ParameterName, 'Close connections that are silent this long; from 4 s to a day')
            [CompletionResult]::new('--standbys', '--standbys', [CompletionResultType]::ParameterName, 'Keep this many standby connections for further streams, so that they open at once; 0 keeps none')
            [CompletionResult]::new('--max-streams', '--max-streams', [CompletionResultType]::ParameterName, 'Maximum streams; a device refuses more, and a proxy leaves further local connections waiting')
            [CompletionResult]::new('--memory-budget', '--memory-budget', [CompletionResultType]::ParameterName, 'Maximum bytes that all streams hold, received and not delivered or sent and not acknowledged; at least 1MiB')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'Let running streams go on for this long after a first SIGTERM or Ctrl-C')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--stdio', '--stdio', [CompletionResultType]::ParameterName, 'Carry one stream on standard input and output, for ssh''s ProxyCommand')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Open streams that are not encrypted end to end, for a device whose agent is none of devstream''s')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Connect even if a proxy on the path inspects TLS, if the hub allows it too')
            [CompletionResult]::new('--no-resume', '--no-resume', [CompletionResultType]::ParameterName, 'Reset a stream''s local connections when its connection to the hub breaks, instead of resuming it')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;service' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('install', 'install', [CompletionResultType]::ParameterValue, 'Write hardened units for a role, enable and start them')
            [CompletionResult]::new('uninstall', 'uninstall', [CompletionResultType]::ParameterValue, 'Stop a role''s units and remove them; its state stays')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;service;install' {
            [CompletionResult]::new('--root', '--root', [CompletionResultType]::ParameterName, 'Install below this directory instead of /, and start nothing: for packages and images')
            [CompletionResult]::new('--program', '--program', [CompletionResultType]::ParameterName, 'Run this program in the units [default: this program]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--print', '--print', [CompletionResultType]::ParameterName, 'Print the units and install nothing')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;service;uninstall' {
            [CompletionResult]::new('--root', '--root', [CompletionResultType]::ParameterName, 'Remove below this directory instead of /, and stop nothing')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;service;help' {
            [CompletionResult]::new('install', 'install', [CompletionResultType]::ParameterValue, 'Write hardened units for a role, enable and start them')
            [CompletionResult]::new('uninstall', 'uninstall', [CompletionResultType]::ParameterValue, 'Stop a role''s units and remove them; its state stays')
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
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'Listen on this local port; 0 takes any free port')
            [CompletionResult]::new('--forward', '--forward', [CompletionResultType]::ParameterName, 'Offer this target, under this name [default: 22 if something listens there]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;devices' {
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the authorities in this PEM file for the hub''s certificate, instead of its pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Connect even if a proxy on the path inspects TLS, if the hub allows it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;check' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Check the path to this device as well, as with DEVICE')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Ask for this stream [default: the device''s first forward that this service may reach]')
            [CompletionResult]::new('--forward', '--forward', [CompletionResultType]::ParameterName, 'Check as a device, with this target instead of those in the device-agent''s settings (repeatable)')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the authorities in this PEM file for the hub''s certificate, instead of its pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Open a stream that is not encrypted end to end, as the service-proxy does with --plain')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Connect even if a proxy on the path inspects TLS, if the hub allows it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;status' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;ssh' {
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Ask for this stream, which is the name of the forward to the device''s SSH server')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Wait this long for an offline device to come online; at most 60 s [default: the service-proxy''s]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Open a stream that is not encrypted end to end, for a device whose agent is none of devstream''s')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;ssh-config' {
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Ask for this stream, which is the name of the forward to the device''s SSH server')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Wait this long for an offline device to come online; at most 60 s [default: the service-proxy''s]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--install', '--install', [CompletionResultType]::ParameterName, 'Write it to a file of its own, and an Include line for that at the top of ~/.ssh/config')
            [CompletionResult]::new('--uninstall', '--uninstall', [CompletionResultType]::ParameterName, 'Remove that file and the Include line')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Open a stream that is not encrypted end to end, for a device whose agent is none of devstream''s')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;rdp' {
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Ask for this stream, which is the name of the forward to the device''s desktop')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Wait this long for an offline device to come online; at most 60 s [default: the service-proxy''s]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--no-client', '--no-client', [CompletionResultType]::ParameterName, 'Start no client: print the address and the .rdp file, and serve until Ctrl-C')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Open a stream that is not encrypted end to end, for a device whose agent is none of devstream''s')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;profiles' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('use', 'use', [CompletionResultType]::ParameterValue, 'Set the default profile')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Delete a profile''s identities and their keys; to return, they need new join links')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Set the address of a profile''s hub, after that has moved; the identity, and what certifies the hub, stay')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;profiles;use' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;profiles;remove' {
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'Delete the identity of this role only')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask; needed where there is no terminal')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;profiles;set' {
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'New address of the hub; without a port, the one before')
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'Set it for the identity of this role only')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;profiles;help' {
            [CompletionResult]::new('use', 'use', [CompletionResultType]::ParameterValue, 'Set the default profile')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Delete a profile''s identities and their keys; to return, they need new join links')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Set the address of a profile''s hub, after that has moved; the identity, and what certifies the hub, stay')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;profiles;help;use' {
            break
        }
        'devstream;profiles;help;remove' {
            break
        }
        'devstream;profiles;help;set' {
            break
        }
        'devstream;profiles;help;help' {
            break
        }
        'devstream;identity' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;trust' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the known peers: role, id, how and since when their keys are known')
            [CompletionResult]::new('pin', 'pin', [CompletionResultType]::ParameterValue, 'Set the key of a peer, which somebody has read on its machine')
            [CompletionResult]::new('forget', 'forget', [CompletionResultType]::ParameterValue, 'Forget a peer''s key: the key that it shows next is kept')
            [CompletionResult]::new('fleet', 'fleet', [CompletionResultType]::ParameterValue, 'Trust a fleet: refuse every peer whose key it has not signed (exit code 43), whatever else is known of it')
            [CompletionResult]::new('reset', 'reset', [CompletionResultType]::ParameterValue, 'Forget the keys of all peers of an identity')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;trust;list' {
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'List what this machine''s identity of this role knows [default: both]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;trust;pin' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--replace', '--replace', [CompletionResultType]::ParameterName, 'Replace another key that was pinned, vouched for or signed before')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;trust;forget' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask; needed where there is no terminal')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;trust;fleet' {
            [CompletionResult]::new('--certificate', '--certificate', [CompletionResultType]::ParameterName, 'Present this certificate to peers')
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'Change what this machine''s identity of this role trusts [default: both]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--remove', '--remove', [CompletionResultType]::ParameterName, 'Trust no fleet any more: the keys that are known count again, and those of new peers are kept')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask before a removal; needed where there is no terminal')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;trust;reset' {
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'Forget what this machine''s identity of this role knows; needed where there are two')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask; needed where there is no terminal')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;trust;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the known peers: role, id, how and since when their keys are known')
            [CompletionResult]::new('pin', 'pin', [CompletionResultType]::ParameterValue, 'Set the key of a peer, which somebody has read on its machine')
            [CompletionResult]::new('forget', 'forget', [CompletionResultType]::ParameterValue, 'Forget a peer''s key: the key that it shows next is kept')
            [CompletionResult]::new('fleet', 'fleet', [CompletionResultType]::ParameterValue, 'Trust a fleet: refuse every peer whose key it has not signed (exit code 43), whatever else is known of it')
            [CompletionResult]::new('reset', 'reset', [CompletionResultType]::ParameterValue, 'Forget the keys of all peers of an identity')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;trust;help;list' {
            break
        }
        'devstream;trust;help;pin' {
            break
        }
        'devstream;trust;help;forget' {
            break
        }
        'devstream;trust;help;fleet' {
            break
        }
        'devstream;trust;help;reset' {
            break
        }
        'devstream;trust;help;help' {
            break
        }
        'devstream;fleet' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make a fleet: its key, and a recovery key that you then move to another place')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Add an invitation to a join link, which is read from standard input')
            [CompletionResult]::new('sign', 'sign', [CompletionResultType]::ParameterValue, 'Sign machines that joined with an invitation, and renew certificates that end within 60 days')
            [CompletionResult]::new('forget', 'forget', [CompletionResultType]::ParameterValue, 'Renew a machine no more, and end its invitations')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the machines whose keys were signed here, and until when')
            [CompletionResult]::new('recover', 'recover', [CompletionResultType]::ParameterValue, 'Sign with the recovery key from now on, where the fleet key was lost')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;fleet;init' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;fleet;invite' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;fleet;sign' {
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'The machine''s role')
            [CompletionResult]::new('--key', '--key', [CompletionResultType]::ParameterName, 'The machine''s whole key, as `devstream identity` shows it there')
            [CompletionResult]::new('--hub', '--hub', [CompletionResultType]::ParameterName, 'Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Trust the authorities in this PEM file for the hub''s certificate, instead of its pin or the public ones')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none')
            [CompletionResult]::new('--via-login', '--via-login', [CompletionResultType]::ParameterName, 'Read the proxy''s USER:PASSWORD from this file; no other user may have access to it')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--replace', '--replace', [CompletionResultType]::ParameterName, 'Sign the key also where another one was signed for the same machine before')
            [CompletionResult]::new('--allow-tls-inspection', '--allow-tls-inspection', [CompletionResultType]::ParameterName, 'Connect even if a proxy on the path inspects TLS, if the hub allows it too')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;fleet;forget' {
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'The machine''s role')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;fleet;list' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;fleet;recover' {
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;fleet;help' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make a fleet: its key, and a recovery key that you then move to another place')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Add an invitation to a join link, which is read from standard input')
            [CompletionResult]::new('sign', 'sign', [CompletionResultType]::ParameterValue, 'Sign machines that joined with an invitation, and renew certificates that end within 60 days')
            [CompletionResult]::new('forget', 'forget', [CompletionResultType]::ParameterValue, 'Renew a machine no more, and end its invitations')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the machines whose keys were signed here, and until when')
            [CompletionResult]::new('recover', 'recover', [CompletionResultType]::ParameterValue, 'Sign with the recovery key from now on, where the fleet key was lost')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;fleet;help;init' {
            break
        }
        'devstream;fleet;help;invite' {
            break
        }
        'devstream;fleet;help;sign' {
            break
        }
        'devstream;fleet;help;forget' {
            break
        }
        'devstream;fleet;help;list' {
            break
        }
        'devstream;fleet;help;recover' {
            break
        }
        'devstream;fleet;help;help' {
            break
        }
        'devstream;config' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Write a file with every key in it, commented out, with its meaning and default')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the effective settings, and where each comes from: a flag, the environment, the file or the default')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;config;init' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Overwrite an existing file')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;config;show' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this configuration file [default: devstream/config.toml in the user''s configuration directory, if it exists]')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;config;help' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Write a file with every key in it, commented out, with its meaning and default')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the effective settings, and where each comes from: a flag, the environment, the file or the default')
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
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Set the format of messages on standard error')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`, else default]')
            [CompletionResult]::new('--static', '--static', [CompletionResultType]::ParameterName, 'Print a static script, which completes commands and flags only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Increase verbosity (-vv: trace)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show warnings and errors only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'devstream;help' {
            [CompletionResult]::new('hub', 'hub', [CompletionResultType]::ParameterValue, 'Run a hub, or manage the running one')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Enrol this machine with a join link from a hub')
            [CompletionResult]::new('device-agent', 'device-agent', [CompletionResultType]::ParameterValue, 'Run the device''s end: dial out to the hub, and connect streams to local targets')
            [CompletionResult]::new('service-proxy', 'service-proxy', [CompletionResultType]::ParameterValue, 'Run the operator''s end: local ports whose connections become streams to a device')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Install or remove a role as a systemd service')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Try devstream: a hub, a device-agent and a service-proxy in one process, on loopback')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List the devices that you may reach: state, last seen, streams offered, end-to-end key if it is known here')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check every hop to the hub, a device and its target: which one fails, why, and what to do next')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the roles of this user that run on this machine: process, identity, hub, state and streams')
            [CompletionResult]::new('ssh', 'ssh', [CompletionResultType]::ParameterValue, 'Run OpenSSH''s `ssh` to a device')
            [CompletionResult]::new('ssh-config', 'ssh-config', [CompletionResultType]::ParameterValue, 'Print the OpenSSH configuration to reach every device by its name, as in `ssh pi-42.devstream`')
            [CompletionResult]::new('rdp', 'rdp', [CompletionResultType]::ParameterValue, 'Open a device''s desktop: a local port, an .rdp file, and a remote desktop client')
            [CompletionResult]::new('profiles', 'profiles', [CompletionResultType]::ParameterValue, 'List the profiles: hubs and identities that this machine joined, or set the default')
            [CompletionResult]::new('identity', 'identity', [CompletionResultType]::ParameterValue, 'Show who this machine is: role, id, hub and end-to-end key of each of its identities')
            [CompletionResult]::new('trust', 'trust', [CompletionResultType]::ParameterValue, 'List, pin or forget the end-to-end keys of the devices and services that this machine knows')
            [CompletionResult]::new('fleet', 'fleet', [CompletionResultType]::ParameterValue, 'Keep the key of a fleet, and sign the end-to-end keys of your devices and services with it')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Write a commented configuration file, or print the effective settings')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script, for the shell to load at startup')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'devstream;help;hub' {
            [CompletionResult]::new('device', 'device', [CompletionResultType]::ParameterValue, 'Manage devices')
            [CompletionResult]::new('service', 'service', [CompletionResultType]::ParameterValue, 'Manage services: operators and jobs that open streams')
            [CompletionResult]::new('enroll', 'enroll', [CompletionResultType]::ParameterValue, 'Manage enrolment keys: one secret with which many devices join, each with a key of its own')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List devices: state, since when, address, streams offered')
            [CompletionResult]::new('streams', 'streams', [CompletionResultType]::ParameterValue, 'List streams, or end one')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the hub''s status: uptime, counts, certificate, memory, file descriptors')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that the hub runs, is reached under the name in its join links, and has a valid certificate, file descriptors and disk space')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the hub''s name, streaming endpoints and pin as JSON')
            [CompletionResult]::new('check-config', 'check-config', [CompletionResultType]::ParameterValue, 'Check the configuration file, with all its sections')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Print the activity log: connections, requests for streams, and their results')
            [CompletionResult]::new('cluster', 'cluster', [CompletionResultType]::ParameterValue, 'Several hubs as one: over NATS servers of your own')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Write the hub''s identities, keys and certificates into one file; works while it runs')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Restore a hub''s state directory from a backup')
            break
        }
        'devstream;help;hub;device' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a device, and print the command with which its machine joins')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List devices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a device and its keys')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Disable a device, and end its connection and streams')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Enable a device again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a command with which the device gets a new key; the present one works until then, and for --overlap after')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a device, and end its connection and streams')
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
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a service, and print the command with which its machine joins; it may reach what is named here, nothing else')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Change what a service may reach, and end its other streams; what is not named stays')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List services')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a service and its keys')
            [CompletionResult]::new('disable', 'disable', [CompletionResultType]::ParameterValue, 'Disable a service, and end its streams')
            [CompletionResult]::new('enable', 'enable', [CompletionResultType]::ParameterValue, 'Enable a service again')
            [CompletionResult]::new('rotate', 'rotate', [CompletionResultType]::ParameterValue, 'Print a command with which the service gets a new key; the present one works until then, and for --overlap after')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a service, and end its streams')
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
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Create an enrolment key, and print it')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List enrolment keys: ids, uses, validity')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Revoke an enrolment key; devices that joined with it stay')
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
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List streams')
            [CompletionResult]::new('kill', 'kill', [CompletionResultType]::ParameterValue, 'End a stream, and tell both ends why')
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
        'devstream;help;hub;cluster' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make this hub the first of several; it takes effect when the hub is restarted')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Print the command with which one more hub joins')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Make a new hub of the cluster on this machine; reads the link from standard input')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the hubs: state, version, since when, devices, streams')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Put this hub''s identities into the NATS servers'' store, where that has lost them')
            [CompletionResult]::new('leave', 'leave', [CompletionResultType]::ParameterValue, 'Make this hub one that is alone; it takes effect when the hub is restarted')
            break
        }
        'devstream;help;hub;cluster;init' {
            break
        }
        'devstream;help;hub;cluster;invite' {
            break
        }
        'devstream;help;hub;cluster;join' {
            break
        }
        'devstream;help;hub;cluster;status' {
            break
        }
        'devstream;help;hub;cluster;restore' {
            break
        }
        'devstream;help;hub;cluster;leave' {
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
            [CompletionResult]::new('uninstall', 'uninstall', [CompletionResultType]::ParameterValue, 'Stop a role''s units and remove them; its state stays')
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
            [CompletionResult]::new('use', 'use', [CompletionResultType]::ParameterValue, 'Set the default profile')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Delete a profile''s identities and their keys; to return, they need new join links')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Set the address of a profile''s hub, after that has moved; the identity, and what certifies the hub, stay')
            break
        }
        'devstream;help;profiles;use' {
            break
        }
        'devstream;help;profiles;remove' {
            break
        }
        'devstream;help;profiles;set' {
            break
        }
        'devstream;help;identity' {
            break
        }
        'devstream;help;trust' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the known peers: role, id, how and since when their keys are known')
            [CompletionResult]::new('pin', 'pin', [CompletionResultType]::ParameterValue, 'Set the key of a peer, which somebody has read on its machine')
            [CompletionResult]::new('forget', 'forget', [CompletionResultType]::ParameterValue, 'Forget a peer''s key: the key that it shows next is kept')
            [CompletionResult]::new('fleet', 'fleet', [CompletionResultType]::ParameterValue, 'Trust a fleet: refuse every peer whose key it has not signed (exit code 43), whatever else is known of it')
            [CompletionResult]::new('reset', 'reset', [CompletionResultType]::ParameterValue, 'Forget the keys of all peers of an identity')
            break
        }
        'devstream;help;trust;list' {
            break
        }
        'devstream;help;trust;pin' {
            break
        }
        'devstream;help;trust;forget' {
            break
        }
        'devstream;help;trust;fleet' {
            break
        }
        'devstream;help;trust;reset' {
            break
        }
        'devstream;help;fleet' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make a fleet: its key, and a recovery key that you then move to another place')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Add an invitation to a join link, which is read from standard input')
            [CompletionResult]::new('sign', 'sign', [CompletionResultType]::ParameterValue, 'Sign machines that joined with an invitation, and renew certificates that end within 60 days')
            [CompletionResult]::new('forget', 'forget', [CompletionResultType]::ParameterValue, 'Renew a machine no more, and end its invitations')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the machines whose keys were signed here, and until when')
            [CompletionResult]::new('recover', 'recover', [CompletionResultType]::ParameterValue, 'Sign with the recovery key from now on, where the fleet key was lost')
            break
        }
        'devstream;help;fleet;init' {
            break
        }
        'devstream;help;fleet;invite' {
            break
        }
        'devstream;help;fleet;sign' {
            break
        }
        'devstream;help;fleet;forget' {
            break
        }
        'devstream;help;fleet;list' {
            break
        }
        'devstream;help;fleet;recover' {
            break
        }
        'devstream;help;config' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Write a file with every key in it, commented out, with its meaning and default')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the effective settings, and where each comes from: a flag, the environment, the file or the default')
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

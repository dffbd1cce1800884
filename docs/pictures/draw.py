"""The drawings: who dials whom, and the plot of figures.json. Each carries its own background, for light and dark pages alike."""

import json
from html import escape

FONT = "system-ui,-apple-system,'Segoe UI',Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif"
LIGHT = {"page": "#ffffff", "box": "#f2f4f7", "line": "#c3cad3", "text": "#1b1f24", "dim": "#505a66", "own": "#0b6bcb", "other": "#8c96a3"}
DARK = {"page": "#14171c", "box": "#23282f", "line": "#4a535e", "text": "#e6e9ed", "dim": "#a9b3be", "own": "#4a97f0", "other": "#76818d"}
# How the plot calls the tunnels, and which way is good in which unit.
NAMES = {"devstream": "devstream", "tls_alone": "TLS alone", "ssh": "ssh -R and -L"}
GOOD = {"MiB/s": "more is better", "ms": "less is better"}


def svg(width, height, title, parts):
    """Returns a picture whose colours follow the page's."""

    def rules(colours):
        fills = "".join(f".{name}{{fill:{colour}}}" for name, colour in colours.items())
        return fills + f".edge{{stroke:{colours['line']}}}.arrow{{stroke:{colours['own']}}}.spread{{stroke:{colours['text']}}}"

    style = f"{rules(LIGHT)}@media(prefers-color-scheme:dark){{{rules(DARK)}}}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-family="{FONT}">'
        f"<title>{escape(title)}</title><style>{style}</style>"
        f'<rect class="page edge" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>{"".join(parts)}</svg>\n'
    )


def text(x, y, words, size=17, colour="text", anchor="start", bold=False):
    weight = ' font-weight="600"' if bold else ""
    return f'<text class="{colour}" x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}"{weight}>{escape(words, quote=False)}</text>'


def box(x, lines):
    """Returns a machine: its name, its role, and what it does."""
    parts = [f'<rect class="box edge" x="{x}" y="62" width="204" height="196" rx="8"/>']
    for number, (words, colour, bold) in enumerate(lines):
        parts.append(text(x + 102, 98 + 31 * number, words, 20 if bold else 18, colour, "middle", bold))
    return parts


def wall(x, above, below):
    """Returns a firewall with a gap for what goes out, and what it is."""
    parts = [text(x, 42, above, 18, "own", "middle", True)]
    for top, bottom in ((62, 142), (178, 258)):
        parts += [f'<rect class="other" x="{x - 7}" y="{y}" width="14" height="17"/>' for y in range(top, bottom - 16, 21)]
    return parts + [text(x, 286 + 23 * number, words, 17, "dim", "middle") for number, words in enumerate(below)]


def arrow(start, end):
    direction = 1 if end > start else -1
    tip = end - 3 * direction
    return [
        f'<path class="arrow" stroke-width="4" d="M{start} 160H{tip - 10 * direction}"/>',
        f'<path class="own" d="M{tip} 160l{-15 * direction} -9v18z"/>',
    ]


def network(folder):
    laptop = [("laptop", "text", True), ("ssh, browser,", "dim", False), ("database client", "dim", False), ("↓ local port", "dim", False), ("service-proxy", "own", True)]
    hub = [("your hub", "text", True), ("one port, TLS 1.3", "dim", False), ("who may reach what", "dim", False), ("joins the two ends", "dim", False), ("hub", "own", True)]
    device = [("device pi-42", "text", True), ("sshd, web server,", "dim", False), ("database", "dim", False), ("↑ forward", "dim", False), ("device-agent", "own", True)]
    parts = [*box(20, laptop), *box(338, hub), *box(656, device)]
    parts += wall(281, "dials out →", ["firewall, proxy:", "443 out is enough"])
    parts += wall(599, "← dials out", ["NAT, 4G, firewall:", "no open port"])
    parts += [*arrow(224, 338), *arrow(656, 542)]
    picture = svg(880, 330, "The laptop and the device both dial out to the hub, which joins the two ends", parts)
    (folder / "network.svg").write_text(picture)


def figures(folder):
    found = json.loads((folder / "figures.json").read_text())
    parts, y = [], 34
    for figure in found["figures"]:
        unit, medians = figure["unit"], figure["medians"]
        parts.append(text(20, y, figure["name"], 18, bold=True))
        parts.append(text(700, y, f"{unit}, {GOOD[unit]}", 15, "dim", "end"))
        longest = max(max(runs) for runs in figure["runs"].values())
        for name, words in NAMES.items():
            if name not in medians:
                continue
            y += 27
            scale = 440 / longest
            length, spread = max(medians[name] * scale, 2), [150 + value * scale for value in (min(figure["runs"][name]), max(figure["runs"][name]))]
            parts.append(text(140, y, words, 16, "text", "end"))
            parts.append(f'<rect class="{"own" if name == "devstream" else "other"}" x="150" y="{y - 15}" width="{length:.1f}" height="19" rx="2"/>')
            parts.append(f'<path class="spread" stroke-width="1.5" d="M{spread[0]:.1f} {y - 5.5}H{spread[1]:.1f}"/>')
            value = f"{medians[name]:.0f}" if medians[name] >= 100 else f"{medians[name]:.3g}" if medians[name] >= 1 else f"{medians[name]:.2f}"
            parts.append(text(max(spread[1], 150 + length) + 8, y, value, 16, bold=name == "devstream"))
        y += 44
    runs = len(next(iter(found["figures"][0]["runs"].values())))
    notes = [f"{found['network']}.", f"Median, slowest and fastest of {runs} runs; {found['date']}, {found['machine']}."]
    parts += [text(20, y + 20 * number - 8, note, 13.5, "dim") for number, note in enumerate(notes)]
    picture = svg(720, y + 28, "devstream's throughput and latency on a long path, beside TLS alone and ssh", parts)
    (folder / "figures.svg").write_text(picture)


PICTURES = {"network": network, "figures": figures}

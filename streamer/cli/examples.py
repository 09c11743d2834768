"""The examples at the end of each command's help. `tests/cli/test_spellings.py` parses every one."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "live": (
        "streamer live",
        "streamer live --microphone USB --roster Ada --roster Bob --record talk.flac",
        "streamer live --simulate --speed 3",
    ),
    "run": (
        "streamer run talk.wav",
        "streamer run talk.wav --json > events.jsonl",
        "streamer run talk.wav --vtt talk.vtt --minutes talk.html",
        "ffmpeg -i film.mkv -f wav - | streamer run -",
    ),
    "speakers enroll": (
        "streamer speakers enroll Ada ada.wav",
        "streamer speakers enroll Ada --mic",
        'streamer speakers enroll Ada --microphone "USB Audio" --store people.db',
    ),
    "speakers list": ("streamer speakers list", "streamer speakers list --json --store people.db"),
    "speakers show": ("streamer speakers show Ada",),
    "speakers rename": ("streamer speakers rename Ada 'Ada Lovelace'",),
    "speakers remove": ("streamer speakers remove Ada", "streamer speakers remove Ada --yes"),
    "speakers erase": ("streamer speakers erase",),
    "speakers merge": ("streamer speakers merge Ada 'Ada Lovelace'",),
    "speakers name": ("streamer speakers name guest-1 Carol",),
    "speakers export": ("streamer speakers export people.json",),
    "speakers import": ("streamer speakers import people.json --store people.db",),
    "speakers check": ("streamer speakers check",),
    "embed": (
        "streamer embed ada.wav talk.wav -o embeddings.npz",
        "streamer embed talk.wav --window sliding --duration 3 --step 1 -o windows.csv",
    ),
    "verify": ("streamer verify ada.wav talk.wav", "streamer verify ada.wav talk.wav --json"),
    "evaluate verify": ("streamer evaluate verify trials.txt --root recordings",),
    "evaluate stream": ("streamer evaluate stream talk.wav --rttm talk.rttm",),
    "evaluate recordings": ("streamer evaluate recordings ami --condition clean --condition telephone-mulaw",),
    "evaluate conditions": ("streamer evaluate conditions --list",),
    "evaluate speech": ("streamer evaluate speech ami",),
    "serve": (
        "streamer serve",
        "streamer serve --print-config > server.toml",
        "streamer serve --host 0.0.0.0 --token-file tokens --cert chain.pem --key key.pem",
        "streamer serve --new-token kitchen --scopes stream,enroll",
    ),
    "stream": (
        "streamer stream ws://127.0.0.1:8765 talk.wav",
        "streamer stream ws://127.0.0.1:8765 --mic",
    ),
    "cluster up": ("streamer cluster up --config cluster.toml",),
    "meeting": (
        "streamer meeting --config room.toml",
        "streamer meeting --config room.toml --page 8765",
        "streamer meeting --config room.toml --page 8765 --host 0.0.0.0 --token-file tokens",
    ),
    "align": ("streamer align talk.json events.jsonl", "streamer align talk.srt turns.rttm -o talk.vtt"),
    "relabel": (
        "streamer relabel events.jsonl",
        "streamer relabel events.jsonl 0:54 Ada --rttm talk.rttm --vtt talk.vtt",
        "streamer relabel events.jsonl 0:54 Ada --everywhere --audio talk.wav --learn",
    ),
    "doctor": ("streamer doctor", "streamer doctor --json --store people.db"),
    "train": ("streamer train people mine.safetensors", "streamer train people mine.safetensors --model sincnet"),
    "export": ("streamer export default --onnx campplus-live.onnx", "streamer export sincnet --onnx sincnet.onnx"),
    "model info": ("streamer model info", "streamer model info campplus --json"),
    "model convert": ("streamer model convert pyannote/embedding pyannote.safetensors --threshold 0.5",),
    "model drift": ("streamer model drift pyannote/embedding talk.wav",),
}


def epilog(command: str, *, rich: bool) -> str | None:
    """The examples of a command as the end of its help. rich: for a terminal, by Rich."""
    if not (lines := EXAMPLES.get(command)):
        return None
    if rich:
        from rich.markup import escape

        return "\n".join(["[bold]Examples[/bold]", *(f"  {escape(line)}" for line in lines)])
    # The first character prevents wrapping.
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])

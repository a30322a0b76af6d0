"""Write the page of flags from the one table that says what they mean: ``python docs/flags.py > docs/flags.md``."""

from ibprobe.record.flags import FLAGS

HEAD = """# Every flag

A number that cannot be taken at its face says so itself. Flags are in every record (`flags`), in tooltips, reports and
in W&B under `ib_detail/`; `ibprobe explain FLAG` says on the command line what stands here. This page is
`python docs/flags.py > docs/flags.md`.
"""


def page() -> str:
    """The page, flag by flag."""
    parts = [HEAD]
    for name, flag in FLAGS.items():
        parts.append(f"## {name}\n\n**{flag.meaning}** {flag.cause} *{flag.action}*\n")
        if flag.line:
            parts.append(f"Where the line is drawn: {flag.line[0].lower() + flag.line[1:]}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")

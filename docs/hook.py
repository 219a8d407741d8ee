"""What mkdocs asks while it builds the site: the pages that are made from the code, and where they stand."""

from fbnet.tools.pages import layers, others, pages
from mkdocs.structure.files import File


def on_config(config):
    """Put a layer's page under its family, below the index of layers."""
    families = [
        {name: [f"layers/{cls.type}.md" for cls in classes]} for name, classes in layers.families().items()
    ]
    for entry in config.nav:
        if entry.get("Layers") == "layers.md":
            entry["Layers"] = ["layers.md", *families]
    return config


def on_files(files, config):
    """Add what `pages` makes; a page of that address in docs/ gives way, as layers.md does."""
    for address, text in pages().items():
        known = files.get_file_from_path(address)
        if known is not None:
            files.remove(known)
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown, page, **_):
    """Links out of docs/, which are right in the repository, are put right for the site."""
    return others.on_site(page.file.src_uri, markdown) if page.file.generated_by is None else markdown

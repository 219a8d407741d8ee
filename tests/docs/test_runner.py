"""The runner of pages is no rubber stamp: it notices what is wrong."""

import pytest


def fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"


@pytest.mark.parametrize(
    ("page", "says"),
    (
        (fence("python", "print(1 + 1)") + fence("text", "3"), "prints\n2"),
        (fence("python", "assert 1 == 2"), "AssertionError"),
        (fence("python", "import fbnet\nfbnet.load('no.fbnet')"), "FileError"),
        (
            fence("python", "import fbnet\nfbnet.load('no.fbnet')") + fence("text", "FileError: another"),
            "no.fbnet",
        ),
        (fence("bash", "fbnet info no.fbnet"), "there is no such file"),
        (fence("bash", "rm -rf x"), "nobody can run"),
    ),
)
def test_what_is_wrong_on_a_page_is_noticed(run_page, page: str, says: str) -> None:
    with pytest.raises(pytest.fail.Exception) as caught:
        run_page(page, "page.md")
    assert says in str(caught.value)


def test_what_is_right_passes_and_is_forgotten(run_page, own_registries) -> None:
    run_page(
        fence('python title="own.py"', "import fbnet\n")
        + fence("python", "import own\nprint('a', 7)")
        + "\n"
        + fence("text", "a ..."),
        "page.md",
    )

"""One small registry, of which fbnet has six: layers, kernels, rewrites, devices, dtypes, importers.

What grows in fbnet grows here, and always the same way: a decorator enters an object under a name. Other
packages reach every registry by a normal import, or by an entry point in the group `fbnet.plugins`, which is
imported the first time that a name is not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Generic, TypeVar

from .errors import RegistryError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to objects: loud on duplicates, helpful on unknown names, knows who registered what."""

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._owners: dict[str, str] = {}
        self._later: dict[str, str] = {}

    def add(self, name: str, entry: T, owner: str) -> T:
        """Enter `entry`. `owner` is the module that registers it. Raises RegistryError if the name is taken."""
        if name in self._entries:
            raise RegistryError(f"{self.kind} {name!r} is already registered by {self._owners[name]}")
        self._entries[name] = entry
        self._owners[name] = owner
        return entry

    def add_later(self, name: str, module: str) -> None:
        """Promise that importing `module` adds `name`; it is imported when somebody asks for the name."""
        self._later[name] = module

    def discard(self, name: str) -> None:
        """Forget a name, if it is there. For tests and notebooks that define a thing again."""
        self._entries.pop(name, None)
        self._owners.pop(name, None)

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise RegistryError(f"{self.kind} {name!r} is not registered.{did_you_mean(name, self)}")
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        if name not in self._entries and name in self._later:
            import_module(self._later[name])
        if name not in self._entries:
            load_plugins()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter({**self._entries, **self._later})

    def __len__(self) -> int:
        return len({**self._entries, **self._later})

    def values(self) -> list[T]:
        """Every entry, in the order of registration."""
        return list(self._entries.values())

    def owners(self) -> set[str]:
        """Every module that has registered something so far."""
        return set(self._owners.values())

    def owner(self, name: str) -> str:
        """The module that registered `name`."""
        self[name]
        return self._owners[name]


_plugins: list[Any] | None = None


def load_plugins() -> None:
    """Import every entry point of the group `fbnet.plugins`, once a process. Raises RegistryError."""
    global _plugins
    if _plugins is None:
        from importlib.metadata import entry_points  # here, as it takes longer to import than all registries

        _plugins = []  # set first: a plug-in that looks a name up must not come back here
        for point in entry_points(group="fbnet.plugins"):
            try:
                _plugins.append(point.load())
            except Exception as error:
                name = getattr(point, "value", point)
                raise RegistryError(
                    f"the plug-in {name} cannot be imported: {type(error).__name__}: {error}: repair or uninstall it"
                ) from error

# SPDX-License-Identifier: BSD-3-Clause
"""What a mapped task, or a group mapped as a whole, reads to find its elements, and how each copy puts its own together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from nbflow.authoring.arguments import elements_of
from nbflow.authoring.lazy import Transformed
from nbflow.authoring.references import Reference
from nbflow.core.calls import Applied, Joined, Placeholder, Zipped, element_name
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId
from nbflow.core.model import Read, Shape

if TYPE_CHECKING:
    from nbflow.authoring.trace import Trace

#: Among what a task is mapped over: the dicts of `expand_kwargs`.
SPREAD: Final = "**"
#: Finds the name of a result and how it is indexed further.
Take = Callable[[Reference], tuple[str, tuple[Any, ...]]]


def sources_in(source: Any) -> list[Any]:
    """What stands at the bottom of a source: references and lists."""
    if isinstance(source, Transformed):
        return [found for part in source.parts for found in sources_in(part)]
    return [source]


class MapReads:
    """The reads of one task that is mapped, filled source by source."""

    def __init__(self, task: str, take: Take) -> None:
        self._task, self._take = task, take
        self.reads: list[Read] = []
        #: Literals: name of the read -> the elements.
        self.elements: dict[str, tuple[Any, ...]] = {}
        self._shapes: list[Shape] = []

    @property
    def shape(self) -> Shape | None:
        """How the elements are put together, where that is not plain to see from the reads."""
        if all(shape.how == "element" for shape in self._shapes):
            return None
        return Shape(how="product", parts=tuple(self._shapes))

    def add(self, parameter: str, source: Any) -> Any:
        """One more source; gives what stands for a copy's element among the arguments. Raises UserError."""
        shape, value = self._read(parameter, source)
        self._shapes.append(shape)
        return value

    def _read(self, parameter: str, source: Any) -> tuple[Shape, Any]:
        if not isinstance(source, Transformed):
            return self._leaf(parameter, source)
        read = [self._read(parameter, part) for part in source.parts]
        shapes, values = tuple(shape for shape, _ in read), tuple(value for _, value in read)
        match source.how:
            case "map":
                assert source.function is not None
                return shapes[0], Applied(function=source.function, part=values[0])
            case "concat":
                return Shape(how="concat", parts=shapes), Joined(parts=values)
        return Shape(how=source.how, parts=shapes), Zipped(parts=values, fillvalue=source.fillvalue if source.how == "fill" else None)

    def _leaf(self, parameter: str, source: Any) -> tuple[Shape, Placeholder]:
        number = len(self.reads)
        name = parameter if not any(read.element == element_name(parameter) for read in self.reads) else f"{parameter}.{number}"
        element = element_name(name)
        if isinstance(source, Element):
            raise UserError(f"{self._task} maps over {source.written}, which is of one copy of a mapped group: it cannot be mapped again.")
        if isinstance(source, Reference):
            taken, path = self._take(source)
            if path:
                raise UserError(
                    f"{self._task}.expand({parameter}={source.written}): only a whole result can be mapped over, or a key of one "
                    f"with multiple_outputs: write @task(multiple_outputs=True) on {source.task_id}."
                )
            self.reads.append(Read(name=taken, writers=(source.task_id,), element=element))
        else:
            found = elements_of(self._task, parameter, source)
            if parameter == SPREAD and not all(isinstance(one, Mapping) for one in found):
                raise UserError(f"{self._task}.expand_kwargs(...) takes a list of dicts of arguments, or a task's result that is one.")
            self.elements[name] = found
            self.reads.append(Read(name=name, plain=True, element=element))
        return Shape(read=number), Placeholder(name=element)


class MappedGroup:
    """A group that is mapped as a whole: what over, and what stands for one copy's elements."""

    def __init__(self, *, name: str, sources: Mapping[str, Any], take: Take) -> None:
        self.name, self.sources = name, sources
        reads = MapReads(name, take)
        self.values = {parameter: reads.add(parameter, source) for parameter, source in sources.items()}


class Element(Reference):
    """Of a group that is mapped as a whole: the element of one copy. Its tasks take it as they take results."""

    def __init__(self, trace: Trace, group: MappedGroup, parameter: str, path: tuple[Any, ...] = ()) -> None:
        self._trace = trace
        self._path = path
        self.group, self.parameter = group, parameter

    @property
    def task_id(self) -> TaskId:
        raise UserError(f"{self.written} is no task: order the tasks that take it.")

    def __getitem__(self, key: Any) -> Element:
        return Element(self._trace, self.group, self.parameter, (*self._path, key))

    @property
    def written(self) -> str:
        return self.parameter + "".join(f"[{key!r}]" for key in self._path)


def indexed(value: Any, path: tuple[Any, ...]) -> Any:
    """What stands for an element, indexed further."""
    if not path:
        return value
    if isinstance(value, Placeholder):
        return replace(value, path=(*value.path, *path))
    return Applied(function=Indexing(path), part=value)


class Indexing:
    """Takes a value by these keys, one after the other."""

    def __init__(self, path: tuple[Any, ...]) -> None:
        self._path = path

    def __call__(self, value: Any) -> Any:
        for key in self._path:
            value = value[key]
        return value

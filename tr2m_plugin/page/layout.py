"""The page as gradio lays it out, and what its buttons do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any

from tr2m_plugin.description.templates import SCENES
from tr2m_plugin.errors import InputError, TR2MError, reason_of, require
from tr2m_plugin.inference.released import PACKAGED
from tr2m_plugin.page.desk import Desk
from tr2m_plugin.page.files import LIFE, Scratch, write_files
from tr2m_plugin.page.showing import anchor_note, bar, camera_note, draw_depth, readout, shown_factor, surface
from tr2m_plugin.page.view import ASSUMED_FOV, View

gradio: Any = require("gradio", "to serve the page", "page")

STYLE = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
.bar { height: 16px; border-radius: 4px; }
.ticks { display: flex; justify-content: space-between; font-size: 13px; margin-top: 2px; }
.unit { text-align: center; font-size: 12px; opacity: 0.7; }
.apart { font-size: 18px; margin: 8px 0 0 !important; }
#readout table { width: 100%; border: 0 !important; margin: 0; text-align: left; }
#readout th { font-weight: 400; font-size: 12px; opacity: 0.7; }
#readout tr { border: 0 !important; }
#readout td, #readout th { padding: 3px 8px 3px 0; border: 0 !important; border-bottom: 1px solid #8883 !important; }
#anchoring, #sources { align-items: end; }
#notes, #about { font-size: 13px; }
"""

IN_TURN = {"concurrency_id": "networks", "concurrency_limit": 1}
"""Of what needs the networks: one visitor at a time."""

VISITORS, WAITING = 16, 32
"""Of so many visitors, the last that came, pictures are held; so many requests wait."""

KNOWN = "Known depth"
ASIDE = (80, 82)
"""From where the surface is seen first, in degrees around it and from above: nearly from the camera."""

_LOGGER = logging.getLogger("tr2m_plugin")


def make_theme() -> Any:
    """Colours, and letters of the visitor's own machine: nothing is fetched."""
    return gradio.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["monospace"]
    )


def answered(action: Callable[..., Any], shown: int) -> Callable[..., Any]:
    """The action, whose errors become a message on the page and leave what it shows as it was.

    Args:
        action: gives a list of a value for each component; of one, its value.
        shown: how many these are.
    """

    @wraps(action)
    def safe(*given: Any) -> Any:
        try:
            return action(*given)
        except TR2MError as error:
            tell(str(error))
        except Exception as error:  # a page goes on, whatever a picture makes of a network
            _LOGGER.exception("the page could not do this")
            tell(reason_of(error))
        return [gradio.skip()] * shown if shown > 1 else gradio.skip()

    return safe


def tell(message: str) -> None:
    """Shows a message until the visitor closes it."""
    gradio.Warning(escape(message), duration=None)


class Page:
    """The components, and what they show of a view.

    Args:
        desk: does what visitors ask for.
        scratch: where files go.
    """

    def __init__(self, desk: Desk, scratch: Scratch) -> None:
        self.desk, self.scratch = desk, scratch
        self.view = gradio.State(None, time_to_live=LIFE)
        gradio.HTML(_about(desk), elem_id="about")
        with gradio.Row():
            with gradio.Column():
                self._lay_out_input()
            with gradio.Column():
                self._lay_out_depth()
        with gradio.Row():
            with gradio.Column(scale=2):
                self.surface = gradio.Model3D(
                    label="Drag to turn, wheel to zoom",
                    height=420,
                    clear_color=(0.13, 0.15, 0.19, 1.0),
                    interactive=False,
                    elem_id="surface",
                )
            with gradio.Column(scale=1):
                self.take = gradio.Button("Prepare the files", elem_id="take")
                self.files = gradio.Files(label="To download", interactive=False, elem_id="files")
        self.shown = [self.view, self.depth, self.bar, self.readout, self.notes, self.known, self.fov, self.surface]
        self._connect()

    def _lay_out_input(self) -> None:
        sources = ["upload", "webcam", "clipboard"]
        self.picture = gradio.Image(label="Picture", sources=sources, height=380, elem_id="picture", buttons=[])
        # The file as it came: gradio's own reading loses EXIF data, and has other words for what is no picture.
        self.picture.preprocess = lambda payload: None if payload is None else payload.path
        self.sentence = gradio.Textbox(
            label="Sentence about the scene, in English: it sets the scale",
            placeholder="A small kitchen with a table and two chairs.",
            lines=2,
            elem_id="sentence",
        )
        with gradio.Row(elem_id="sources"):
            self.scene = gradio.Radio(list(SCENES), label="Or roughly: what it shows", elem_id="scene", scale=3)
            self.describe = gradio.Button(
                "Describe", visible=self.desk.describer is not None, elem_id="describe", min_width=100, scale=1
            )
        self.measure = gradio.Button("Measure depth", variant="primary", elem_id="measure")
        self.fov = gradio.Slider(
            10, 150, ASSUMED_FOV, step=0.1, label="Horizontal field of view in degrees", elem_id="fov"
        )

    def _lay_out_depth(self) -> None:
        self.depth = gradio.Image(label="Depth", height=340, interactive=False, elem_id="depth", buttons=["fullscreen"])
        self.bar = gradio.HTML(elem_id="bar")
        self.readout = gradio.HTML(elem_id="readout")
        with gradio.Row(elem_id="anchoring"):
            self.known = gradio.Number(None, label=KNOWN, placeholder="at the last mark", elem_id="known", scale=4)
            self.anchor = gradio.Button("Anchor", elem_id="anchor", min_width=90)
            self.forget = gradio.Button("Forget", elem_id="forget", min_width=90)
        self.notes = gradio.HTML(elem_id="notes")

    def _connect(self) -> None:
        view, whole, marked = self.view, [*self.shown, self.files], [self.view, self.depth, self.readout]
        told = [self.sentence, self.scene]

        def on(event: Any, action: Callable[..., Any], given: list[Any], shown: list[Any], **how: Any) -> None:
            gradio.on(event, answered(action, len(shown)), given, shown, api_visibility="private", **how)

        on(self.picture.change, self.opened, [self.picture], whole)
        on(self.scene.input, self.scene_chosen, [self.scene], [self.sentence])
        on(self.describe.click, self.described, [view], told, **IN_TURN)
        on([self.measure.click, self.sentence.submit], self.measured, [view, self.sentence], whole, **IN_TURN)
        on(self.depth.select, self.depth_clicked, [view], marked)
        on(self.picture.select, self.picture_clicked, [view], marked)
        on(self.fov.input, self.seen_through, [view, self.fov], self.shown, trigger_mode="always_last")
        on(self.anchor.click, self.anchored, [view, self.known], whole)
        on(self.forget.click, self.forgotten, [view], whole)
        on(self.take.click, self.taken, [view], [self.files])

    def opened(self, path: str | None) -> list[Any]:
        """Another picture; nothing, where it cannot be opened."""
        view = None
        try:
            view = None if path is None else self.desk.open(path)
        except TR2MError as error:
            tell(str(error))
        return [*self._show(view), None]

    def scene_chosen(self, scene: str) -> str:
        """The sentence of a kind of scene."""
        return SCENES[scene]

    def described(self, view: View | None) -> list[Any]:
        """The sentence of the describer, in the place of a scene's."""
        return [self.desk.describe(_there(view)), None]

    def measured(self, view: View | None, sentence: str) -> list[Any]:
        """Depth."""
        return [*self._show(self.desk.measure(_there(view), sentence)), None]

    def depth_clicked(self, view: View | None, event: gradio.SelectData) -> list[Any]:
        """A pixel that was marked in the coloured depth."""
        height, width = _there(view).image.shape[:2]
        return self._marked(view, event, shown_factor((height, width)))

    def picture_clicked(self, view: View | None, event: gradio.SelectData) -> list[Any]:
        """A pixel that was marked in the picture, which the browser has at its own size."""
        return self._marked(view, event, 1.0)

    def seen_through(self, view: View | None, fov: float) -> list[Any]:
        """Another camera."""
        return self._show(view.seen_through(fov) if view else None, fov)

    def anchored(self, view: View | None, depth: float | None) -> list[Any]:
        """Depth that is known at the last mark."""
        return [*self._show(_there(view).anchored(depth)), None]

    def forgotten(self, view: View | None) -> list[Any]:
        """Nothing known."""
        return [*self._show(_there(view).forgotten()), None]

    def taken(self, view: View | None) -> list[str]:
        """All files."""
        return [str(path) for path in write_files(_there(view), self.scratch.fresh())]

    def _marked(self, view: View | None, event: Any, factor: float) -> list[Any]:
        u, v = (int(value / factor) for value in event.index)
        found = _there(view).marked(u, v)
        return [found, draw_depth(found), readout(found)]

    def _show(self, view: View | None, fov: float = ASSUMED_FOV) -> list[Any]:
        """A value for each component of `shown`."""
        if view is None:
            return [None, None, "", "", "", None, fov, None]
        angle = round(view.fov, 1)
        if view.prediction is None:
            return [view, None, "", "", camera_note(view), None, angle, None]
        known = gradio.update(value=None, label=f"{KNOWN}, in {view.prediction.unit}")
        notes = "<br>".join(filter(None, (camera_note(view), anchor_note(view))))
        return [view, draw_depth(view), bar(view.prediction), readout(view), notes, known, angle, self._surface(view)]

    def _surface(self, view: View) -> Any:
        found = surface(view)
        if found is None:
            return None
        path = self.scratch.fresh() / "surface.glb"
        path.write_bytes(found.content)
        return gradio.update(value=str(path), camera_position=(*ASIDE, 1.1 * found.middle))


def make_page(desk: Desk, scratch: Scratch) -> Any:
    """The page as gradio's blocks.

    Args:
        desk: does what visitors ask for.
        scratch: where files go.
    """
    with gradio.Blocks(title="tr2m", analytics_enabled=False, delete_cache=(LIFE // 4, LIFE)) as blocks:
        Page(desk, scratch)
    blocks.state_session_capacity = VISITORS
    return blocks.queue(default_concurrency_limit=4, max_size=WAITING)


def _there(view: View | None) -> View:
    if view is None:
        raise InputError("there is no picture: drop one, or take one with the webcam (it is kept for an hour)")
    return view


def _about(desk: Desk) -> str:
    name, limits = desk.inferencer.name, desk.limits
    rendered = ", which has seen rendered pictures only: of photographs its metres are not right" * (name == PACKAGED)
    return (
        "<h2>Metric depth from a picture and a sentence</h2>"
        f"Model: <b>{escape(name)}</b>{rendered}. Pictures may have {limits.megabytes:g} MB and "
        f"{limits.megapixels:g} million pixels. They stay on the machine that serves this page, for an hour at most."
    )

import cv2
import numpy as np
import pytest

from tr2m_plugin.visualization.errors import Example, _short, draw_errors


@pytest.mark.parametrize("size", [(48, 64), (35, 121)])
def test_a_row_per_example_and_two_tiles_per_method(tmp_path, size):
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 9, size)
    picture = rng.integers(0, 255, (*size, 3), np.uint8)
    numbers = {"one": 0.1, "another": None}

    def draw(name, count, methods):
        depths = dict.fromkeys(methods, truth * 1.1)
        shown = {method: numbers[method] for method in methods}
        examples = [Example(f"{n} $x$$", f"room$_$/{n}", picture, truth, depths, shown) for n in range(count)]
        draw_errors(tmp_path / name, examples, "m", "a title of Ba$$in")
        return cv2.imread(str(tmp_path / name))

    small, wide, tall = draw("a.png", 1, ["one"]), draw("b.png", 1, ["one", "another"]), draw("c.png", 3, ["one"])
    assert wide.shape[1] > 1.3 * small.shape[1]
    narrow = np.zeros((800, 1, 3), np.uint8)
    draw_errors(tmp_path / "d.png", [Example("a", "b", narrow, truth, {}, {})], "m", "a column")
    assert max(cv2.imread(str(tmp_path / "d.png")).shape) < 1000
    assert tall.shape[0] > 1.5 * small.shape[0]
    assert (small.reshape(-1, 3).std(0) > 0).all()


def test_long_names_keep_their_end():
    assert _short("kitchen/rgb_00045") == "kitchen/rgb_00045"
    long = "2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069"
    assert _short(long) == f"…{long[-39:]}"
    assert len(_short(long)) == 40

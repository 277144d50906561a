"""The page in a real browser: moving a slider changes the picture to what the model decodes."""

import json
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.tabs.scores import figures
from keras_genmod.explorer.views import LARGE
from tests.explorer.tiny import made, pictures, vae

# Seconds that the page may take for an answer, on a busy machine.
_PATIENCE = 90

# The pixels of a picture as the browser has decoded them, or null before it has.
_PIXELS = """
const image = document.querySelector(arguments[0] + " img");
if (!image || !image.complete || !image.naturalWidth) return null;
const canvas = document.createElement("canvas");
canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
const context = canvas.getContext("2d");
context.drawImage(image, 0, 0);
const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
return [canvas.height, canvas.width, Array.from(data)];
"""


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, driven by Debian's `chromium-driver`."""
    pytest.importorskip("gradio", reason="gradio is not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("there is no Chromium with its driver (Debian's packages chromium and chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    # A container's administrator may not start Chromium's own sandbox.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1400"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = webdriver.chrome.service.Service(driver)
    window = webdriver.Chrome(options=options, service=service)
    yield window
    window.quit()


def until(condition):
    """What `condition` gives, as soon as it is neither None nor False."""
    end = time.monotonic() + _PATIENCE
    while True:
        found = condition()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < end, "The page has not answered."
        time.sleep(0.05)


def find(browser, selector):
    """The element, as soon as it is there."""
    return until(lambda: next(iter(browser.find_elements("css selector", selector)), None))


def choose_tab(browser, title):
    """Opens a tab."""

    def tab():
        tabs = browser.find_elements("css selector", "button[role=tab]")
        return next((one for one in tabs if one.text == title), None)

    until(tab).click()


def pixels(browser, selector):
    """The picture in an element, uint8 `[height, width, 3]`; None before there is one."""
    found = browser.execute_script(_PIXELS, selector)
    if found is None:
        return None
    height, width, values = found
    return np.asarray(values, np.uint8).reshape(height, width, 4)[..., :3]


def shows(browser, selector, expected):
    """Whether a picture is the expected one, pixel by pixel."""
    found = pixels(browser, selector)
    return found is not None and found.shape == expected.shape and np.array_equal(found, expected)


def until_shown(browser, selector, expected):
    """Waits for a picture, which is drawn once: the page's server computes in this process too."""
    until(lambda: shows(browser, selector, expected))


def requested_hosts(browser):
    """The hosts that the browser was asked to call since the last question."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return {url.split("/")[2] for url in urls if not url.startswith(("data:", "blob:", "about:", "chrome"))}


def test_a_slider_changes_the_picture_to_what_the_model_decodes(browser):
    model = vae()
    explored = Explored(model, pictures())

    def expected(z):
        return explored.view.draw(np.asarray(model.decode(z[None])), size=LARGE)

    requested_hosts(browser)
    with kg.explore(model, pictures(), open_browser=False) as page:
        browser.get(page.url)
        choose_tab(browser, "Latent dimensions")
        z = np.zeros(3, "float32")
        until_shown(browser, "#decoded", expected(z))
        slider = find(browser, "#z_1 input[type=range]")
        before = pixels(browser, "#decoded")
        for _ in range(20):
            slider.send_keys("\ue014")  # The right arrow moves the slider by one step.
        z[1] = float(slider.get_attribute("value"))
        assert z[1] == pytest.approx(20 * 0.05)
        until_shown(browser, "#decoded", expected(z))
        assert np.any(pixels(browser, "#decoded") != before)
        # The number beside the slider works too, and the other sliders keep their values.
        number = find(browser, "#z_2 input[type=number]")
        number.clear()
        number.send_keys("-2\n")
        z[2] = -2.0
        until_shown(browser, "#decoded", expected(z))
        find(browser, "#middle").click()
        until_shown(browser, "#decoded", expected(np.zeros(3, "float32")))
        assert float(slider.get_attribute("value")) == 0.0
        # All of this was answered by the page's own server.
        assert requested_hosts(browser) == {f"127.0.0.1:{page.port}"}


def test_an_uploaded_picture_is_scored(browser, tmp_path):
    model, x = made(num_classes=3), pictures(1, seed=7)
    file = tmp_path / "picture.png"
    picture = np.kron(x.reshape(4, 4), np.ones((5, 5)))[..., None] * 255
    kg.write_png(file, picture.astype(np.uint8))
    data = (pictures(5), [1, 0, 2, 0, 1])
    explored = Explored(model, data)

    def told(x, condition):
        return [f"{value:.2f}" for value in figures(explored, x, condition).values()]

    with kg.explore(model, data, open_browser=False) as page:
        browser.get(page.url)
        choose_tab(browser, "Reconstruction and score")
        shown = find(browser, "#figures")

        def until_told(values):
            until(lambda: all(value in shown.text for value in values))

        until_told(told(data[0][0], 1))
        # Choosing another example of the data takes its class along.
        thumbnails = until(lambda: browser.find_elements("css selector", "#scored_gallery button img")[2:3])
        thumbnails[0].click()
        until_told(told(data[0][2], 2))
        assert find(browser, "#condition input").get_attribute("value") == "2"
        find(browser, "#scored_upload input[type=file]").send_keys(str(file))
        until_told(told(x[0], 2))
        steps = find(browser, "#scored_told").text
        assert "Resized from 20 x 20 to 4 x 4 pixels." in steps and "Rounded to integers." in steps


def test_what_is_painted_over_is_drawn_anew(browser):
    webdriver = pytest.importorskip("selenium.webdriver")
    model, x = made(), pictures(3)
    explored = Explored(model, x)

    def expected(missing):
        drawn = np.asarray(model.inpaint(np.tile(x[:1], (7, 1)), ~missing, seed=0))
        kept = np.where(missing, 0.5, x[0])
        return explored.view.draw(np.concatenate([x[:1], kept[None], drawn]), columns=9)

    with kg.explore(model, x, open_browser=False) as page:
        browser.get(page.url)
        choose_tab(browser, "Completion")
        find(browser, "#complete").click()
        lower_half = expected(np.arange(16) >= 8)
        until_shown(browser, "#completions", lower_half)
        # Nothing is painted yet, which the page says.
        browser.find_element("css selector", "#mask input[value='what I paint']").click()
        find(browser, "#complete").click()
        until(lambda: "Nothing is painted over" in browser.find_element("css selector", "body").text)
        assert shows(browser, "#completions", lower_half)
        # A wide stroke from the middle of the first pixel to that of the second one.
        canvas = find(browser, "#paint canvas")
        strokes = webdriver.ActionChains(browser)
        strokes.move_to_element_with_offset(canvas, -100, -100).click_and_hold()
        for _ in range(8):
            strokes.move_by_offset(10, 0)
        strokes.release().perform()
        painted = expected(np.arange(16) < 2)

        def completed():
            # The editor sends a stroke a moment after its end.
            find(browser, "#complete").click()
            time.sleep(1.0)
            return shows(browser, "#completions", painted)

        until(completed)


@pytest.mark.slow
def test_samples_follow_the_seed(browser):
    model = made()
    explored = Explored(model, pictures())
    with kg.explore(model, pictures(), open_browser=False) as page:
        browser.get(page.url)
        until_shown(browser, "#samples", explored.view.draw(model.sample(16, seed=0).numpy()))
        find(browser, "#draw").click()
        until_shown(browser, "#samples", explored.view.draw(model.sample(16, seed=1).numpy()))
        assert find(browser, "#seed input").get_attribute("value") == "1"


@pytest.mark.slow
def test_points_in_the_plane_are_drawn(browser):
    """A page without pictures: the figure is there, and it is not blank."""
    flow = kg.RealNVP((2,), num_layers=2, network_options={"hidden_dims": (8,)}, seed=0)
    with kg.explore(flow, tf.random.stateless_normal([20, 2], (0, 1)).numpy(), open_browser=False) as page:
        browser.get(page.url)
        choose_tab(browser, "Density")
        figure = until(lambda: pixels(browser, "#density"))
        # The map takes more than a third of the figure, and has many colours.
        assert np.mean(np.any(figure < 250, axis=-1)) > 1 / 3
        assert len(np.unique(figure.reshape(-1, 3), axis=0)) > 100

"""The monitor: one app, seven pages, one door. Started by `mycelial dashboard`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

if str(Path(__file__).parents[1]) not in sys.path:  # Streamlit starts this file by its path
    sys.path.insert(0, str(Path(__file__).parents[1]))

from dashboard import controls, parts
from dashboard.views import assets, backtests, moats, orders, overview, swarm, system


def main() -> None:
    """Banner, side bar, page."""
    st.set_page_config(page_title="Mycelial Finance", page_icon=_icon(), layout="wide")
    page = st.navigation(
        [
            st.Page(overview.show, title="Overview", icon=":material/monitoring:", url_path="overview", default=True),
            st.Page(swarm.show, title="Swarm", icon=":material/hub:", url_path="swarm"),
            st.Page(assets.show, title="Assets", icon=":material/candlestick_chart:", url_path="assets"),
            st.Page(orders.show, title="Positions and orders", icon=":material/receipt_long:", url_path="orders"),
            st.Page(moats.show, title="Moats", icon=":material/castle:", url_path="moats"),
            st.Page(backtests.show, title="Backtests", icon=":material/history:", url_path="backtests"),
            st.Page(system.show, title="System", icon=":material/memory:", url_path="system"),
        ]
    )
    controls.sidebar()
    parts.live(_banner)
    page.run()


def _icon() -> Image.Image:
    """A ring of three dots, drawn here: named icons would be fetched from elsewhere."""
    rows, columns = np.mgrid[0:32, 0:32]
    drawn = np.full((32, 32, 3), 255, np.uint8)
    for row, column, colour in ((8, 16, (0, 114, 178)), (22, 8, (200, 80, 10)), (22, 24, (0, 128, 106))):
        drawn[(rows - row) ** 2 + (columns - column) ** 2 <= 36] = colour
    return Image.fromarray(drawn)


def _banner() -> None:
    parts.banner(parts.door())


main()

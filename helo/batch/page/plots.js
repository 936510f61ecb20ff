"use strict";
// draws every plot from the data that stands behind it
for (const place of document.querySelectorAll(".helo-plot")) {
  const { data, layout, frames } = JSON.parse(place.nextElementSibling.textContent);
  const config = { responsive: true, displaylogo: false, plotlyServerURL: "" };
  Plotly.newPlot(place, { data, layout: { ...layout, width: undefined, autosize: true }, frames, config });
}

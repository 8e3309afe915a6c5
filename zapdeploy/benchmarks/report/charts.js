// Draws every figure in the colours of the page, and again when those change.
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };
  const drawn = new Map();

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "line", "panel", "soft", "measured", "simulated", "modelled", "published", "recorded"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  function themed(layout, colour) {
    const made = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
      margin: { l: 10, r: 14, t: 16, b: 10 }, hovermode: "closest",
      ...layout, height: undefined,
      font: { family: "system-ui, sans-serif", size: innerWidth < 600 ? 11 : 13, color: colour.ink },
      hoverlabel: { bgcolor: colour.panel, bordercolor: colour.soft, font: { color: colour.ink } },
    };
    for (const name of Object.keys(made).filter((key) => /^[xy]axis/.test(key))) {
      made[name] = { automargin: true, gridcolor: colour.line, zerolinecolor: colour.line,
        linecolor: colour.soft, fixedrange: true, ...made[name] };
    }
    made.shapes = (made.shapes || []).map((one) => ({ ...one, line: { color: colour.soft, ...one.line } }));
    return made;
  }

  // A trace may name one of the four words as its colour: "meta": {"kind": "measured"}.
  function coloured(trace, colour) {
    const kind = trace.meta && trace.meta.kind;
    if (!kind) return trace;
    return { ...trace, marker: { ...trace.marker, color: colour[kind] },
      error_x: trace.error_x && { ...trace.error_x, color: colour[kind] } };
  }

  function draw(id, figure) {
    const place = document.getElementById(id);
    const colour = colours();
    drawn.set(id, figure);
    // The height is the place's: a responsive figure takes its place's when the window changes.
    place.style.height = `${figure.layout.height}px`;
    const data = figure.data.map((trace) => coloured(trace, colour));
    Plotly.react(place, data, themed(figure.layout, colour), config).then(() => {
      place.dataset.drawn = "yes";
    });
  }

  function spoken(network, quantity, layer, values) {
    const busiest = values.indexOf(Math.max(...values));
    const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
    const row = Math.floor(busiest / network.columns);
    const where = `core in row ${row}, column ${busiest % network.columns}`;
    return `${network.layers[layer]}, ${network.when[layer]}: ${quantity} busy ${mean.toFixed(1)} % of the ` +
      `time in the mean core, ${values[busiest]} % in the busiest (${where}); ${network.memory[layer]}.`;
  }

  function heat(network, quantity, layer) {
    const values = network.busy[quantity][layer];
    const most = Math.max(1, ...network.busy[quantity].flat());
    const z = Array.from({ length: network.rows }, (_, row) =>
      values.slice(row * network.columns, (row + 1) * network.columns));
    return {
      data: [{ type: "heatmap", z, zmin: 0, zmax: most, colorscale: "Cividis", xgap: 1, ygap: 1,
        colorbar: { title: { text: "busy (%)", side: "right" }, thickness: 12 },
        hovertemplate: "row %{y}, column %{x}: %{z} %<extra></extra>" }],
      layout: { height: 420, xaxis: { title: { text: "core column" }, constrain: "domain", showgrid: false },
        yaxis: { title: { text: "core row" }, autorange: "reversed", scaleanchor: "x",
          constrain: "domain", showgrid: false } },
    };
  }

  function openMap(figure) {
    const id = figure.dataset.map;
    const find = (name) => figure.querySelector(name);
    const [networks, quantities, layers] = [find(".network"), find(".quantity"), find(".layer")];
    const chosen = () => figures.maps[id][Number(networks.value)];

    function show() {
      const [network, quantity, layer] = [chosen(), quantities.value, Number(layers.value)];
      draw(`${id}-cores`, heat(network, quantity, layer));
      const said = spoken(network, quantity, layer, network.busy[quantity][layer]);
      find(".said").textContent = said;
      layers.setAttribute("aria-valuetext", `${layer} of ${layers.max}: ${network.layers[layer]}`);
    }

    function choose() {
      const network = chosen();
      const before = quantities.value;
      quantities.replaceChildren(...Object.keys(network.busy).map((name) => new Option(name, name)));
      if (before in network.busy) quantities.value = before;
      layers.max = network.layers.length - 1;
      layers.value = 0;
      draw(`${id}-time`, network.timeline);
      show();
    }

    networks.addEventListener("change", choose);
    quantities.addEventListener("change", show);
    layers.addEventListener("input", show);
    choose();
  }

  for (const [id, figure] of Object.entries(figures.charts)) draw(id, figure);
  document.querySelectorAll("[data-map]").forEach(openMap);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [id, figure] of drawn) draw(id, figure);
  });
})();

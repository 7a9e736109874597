"use strict";
// Draw every chart with plotly in the theme's colours, when it comes near the screen; legends show and hide.
(() => {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const toggle = document.getElementById("theme");
  const NARROW_PX = 560;

  // "--c0/0.2" is the theme's colour c0 at a fifth of its opacity.
  function colour(name) {
    const [variable, opacity] = name.split("/");
    const value = getComputedStyle(root).getPropertyValue(variable).trim();
    if (!opacity || !/^#[0-9a-f]{6}$/i.test(value)) return value;
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${opacity})`;
  }

  function painted(value, key = "") {
    if (Array.isArray(value)) return value.map((part) => painted(part));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, painted(part, name)]));
    }
    return typeof value === "string" && /color$/.test(key) && value.startsWith("--") ? colour(value) : value;
  }

  function axis(own, narrow) {
    const line = { gridcolor: "--grid", linecolor: "--line", zeroline: false, ticks: "", tickfont: { size: narrow ? 10 : 11 } };
    const standoff = { title: { ...own.title, standoff: 8, font: { size: narrow ? 11 : 12 } } };
    return { ...own, ...line, ...standoff };
  }

  function height(own, narrow) {
    return narrow && !own.yaxis.ticktext ? Math.min(own.height, 360) : own.height;
  }

  // Room before there is a chart: drawing it moves nothing that somebody reads or points at.
  function reserve(figure) {
    figure.querySelectorAll(".plot").forEach((plot, place) => {
      const width = plot.clientWidth || window.innerWidth;
      plot.style.minHeight = `${height(specs[figure.id][place].layout, width < NARROW_PX)}px`;
    });
  }

  function layout(spec, width) {
    const narrow = width < NARROW_PX;
    const own = spec.layout;
    return painted({
      ...own,
      height: height(own, narrow),
      margin: { l: 8, r: 10, t: narrow ? 8 : 30, b: 8 }, // above a wide chart: its buttons
      xaxis: axis(own.xaxis, narrow),
      yaxis: axis(own.yaxis, narrow),
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, color: "--ink", size: 12 },
      hovermode: "closest",
      hoverlabel: { bgcolor: "--panel", bordercolor: "--soft", font: { color: "--ink", size: 12 }, align: "left" },
      dragmode: narrow ? false : "zoom",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "--soft", activecolor: "--ink" },
    });
  }

  function draw(figure) {
    reserve(figure);
    const hidden = new Set([...figure.querySelectorAll('.legend [aria-pressed="false"]')].map((item) => Number(item.dataset.entry)));
    figure.querySelectorAll(".plot").forEach((plot, place) => {
      const spec = specs[figure.id][place];
      const width = plot.clientWidth;
      const data = painted(spec.data).map((trace) => ({ ...trace, visible: !hidden.has(trace.meta) }));
      // The buttons are named one by one: plotly's usual ones offer to send a chart to its makers.
      const config = { responsive: true, displaylogo: false, displayModeBar: width < NARROW_PX ? false : "hover", scrollZoom: false,
        modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], toImageButtonOptions: { filename: figure.id, scale: 2 } };
      Plotly.react(plot, data, layout(spec, width), config);
    });
    figure.dataset.drawn = "yes";
  }

  const figures = [...document.querySelectorAll("figure.chart")].filter((figure) => specs[figure.id]?.length);
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !entry.target.dataset.drawn) draw(entry.target);
    }
  }, { rootMargin: "600px" });
  figures.forEach((figure) => {
    reserve(figure);
    near.observe(figure);
  });
  const drawn = () => figures.filter((figure) => figure.dataset.drawn);

  for (const figure of figures) {
    figure.querySelector(".legend")?.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") === "true" ? "false" : "true");
      draw(figure);
    });
  }

  function theme() {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    toggle.setAttribute("aria-pressed", String(isDark));
    drawn().forEach(draw);
  }
  toggle.addEventListener("click", () => {
    root.dataset.theme = toggle.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    theme();
  });
  dark.addEventListener("change", theme);
  theme();

  // A page that becomes narrow or wide changes more than its width.
  let was = window.innerWidth < NARROW_PX;
  window.addEventListener("resize", () => {
    const is = window.innerWidth < NARROW_PX;
    if (is !== was) drawn().forEach(draw);
    was = is;
  });
  window.addEventListener("beforeprint", () => figures.forEach(draw));

  const scope = document.getElementById("scope");
  scope?.addEventListener("change", () => {
    for (const part of document.querySelectorAll(".scope")) part.hidden = part.dataset.scope !== scope.value;
    drawn().filter((figure) => figure.offsetParent).forEach(draw);
  });
})();

/** Icons as lines on a square of 24: one path each. */

const PATHS = {
  point: "M12 3v5M12 16v5M3 12h5M16 12h5M12 11.2a.8.8 0 1 0 0 1.6a.8.8 0 1 0 0-1.6",
  box: "M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3M11 4h2M11 20h2M4 11v2M20 11v2",
  brush: "M20 4c-5 2-9 6-11 9.5l2.5 2.5C15 14 18 9 20 4M9 13.500c-2.500 0-4 1.500-4 3.500 0 1.500-.8 2.500-2 3 3.500 1 8.500.500 8.500-4",
  eraser: "M8.500 19.500 4 15a1.400 1.400 0 0 1 0-2L13 4a1.400 1.400 0 0 1 2 0l5 5a1.400 1.400 0 0 1 0 2l-8.500 8.500zM8.500 8.500l7 7M8.500 19.500H20",
  lasso: "M7 15.500C4.600 14.300 3 12.300 3 10c0-3.600 4-6.500 9-6.500s9 2.900 9 6.500-4 6.500-9 6.500c-1 0-1.900-.1-2.800-.3M7 15a2 2 0 1 0 0 4 2 2 0 0 0 0-4M7.500 19c0 1-.7 1.800-2 2.200",
  pick: "M5 3.500 18.500 10l-5.700 2L11 18z M13 13l5 6",
  everything: "M4 4h6.500v6.500H4zM13.500 4H20v6.500h-6.500zM4 13.500h6.500V20H4zM13.500 13.500H20V20h-6.500z",
  subject: "M12 4.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7M5 20c.6-4 3.300-6 7-6s6.400 2 7 6",
  words: "M4 6.500V5h16v1.500M12 5v14M9.500 19h5",
  undo: "M8 5 4 9l4 4M4 9h10a5.500 5.500 0 0 1 0 11h-3",
  redo: "m16 5 4 4-4 4M20 9H10a5.500 5.500 0 0 0 0 11h3",
  previous: "m14.500 5-7 7 7 7",
  next: "m9.500 5 7 7-7 7",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  close: "m6 6 12 12M18 6 6 18",
  check: "m5 12.500 4.500 4.500L19 7.500",
  eye: "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  eyeOff: "M4 4l16 16M9.900 5.800A9 9 0 0 1 12 5.500c6 0 9.500 6.500 9.500 6.500a16 16 0 0 1-3 3.700M6.500 7.500A15 15 0 0 0 2.500 12s3.500 6.500 9.500 6.500c1.400 0 2.700-.4 3.900-.9M10 10.200a3 3 0 0 0 4 4.200",
  trash: "M4 7h16M9.500 7V4.500h5V7M6.500 7l.8 12.500h9.400L17.500 7M10 11v5M14 11v5",
  export: "M12 15V4M8 8l4-4 4 4M4 15v4a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-4",
  import: "M12 4v11M8 11l4 4 4-4M4 15v4a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-4",
  help: "M9 9.200a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1.200-1.500 2.400M12 17.500v.2",
  language: "M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17M3.500 12h17M12 3.500c2.300 2.300 3.400 5.200 3.400 8.500s-1.100 6.200-3.400 8.500c-2.300-2.300-3.400-5.200-3.400-8.500s1.100-6.200 3.400-8.500",
  theme: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  images: "M4 5h16v14H4zM4 16l4.500-4.500 4 4 2.500-2.500 5 5M15.500 8.200a1.300 1.300 0 1 0 0 2.600 1.300 1.300 0 0 0 0-2.600",
  elsewhere: "M4 4h9v9H4zM15.500 15.500h5v5h-5zM16 4.500h4.500M18.200 2.200v4.600M4 18h7M7.500 16v4",
  depth: "M3 19 9.500 6l4 7 2.500-4 5 10zM3 21.500h18",
  paint: "M4 20h16M6.500 16.500 15 4.500l4.500 3.200-8.500 12zM5 14.500a3 3 0 0 1 4.500 4",
  pencil: "m4.500 19.500 1-4.200L16.200 4.600a1.600 1.600 0 0 1 2.300 0l1 1a1.600 1.600 0 0 1 0 2.300L8.700 18.500zM14 7l3 3",
} as const;

export type Icon = keyof typeof PATHS;

const SVG = "http://www.w3.org/2000/svg";

export function icon(name: Icon, size = 20): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({
    viewBox: "0 0 24 24", width: size, height: size, fill: "none", stroke: "currentColor",
    "stroke-width": 1.6, "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true",
  })) {
    svg.setAttribute(key, String(value));
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

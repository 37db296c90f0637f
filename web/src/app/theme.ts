import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core";

/** The red of a safelight: the one color that photographic paper does not see. */
const safelight: MantineColorsTuple = [
  "#fff0eb", "#fddcd1", "#f8b7a4", "#f39074", "#ef704d", "#e8583a", "#d4452a", "#b8371f", "#952b18", "#722012",
];

/** Warm neutrals: photographic paper at one end, the unlit room at the other. */
const dark: MantineColorsTuple = [
  "#efe7de", "#cfc4b8", "#ab9f93", "#85796e", "#5a5047", "#3d352f", "#2c2622", "#1e1916", "#171310", "#100d0b",
];
const gray: MantineColorsTuple = [
  "#fbf8f3", "#f4efe7", "#e9e1d6", "#d9cfc2", "#c0b4a6", "#9b8f82", "#766b60", "#5d534a", "#3d352f", "#241e1a",
];

export const theme = createTheme({
  colors: { safelight, dark, gray },
  primaryColor: "safelight",
  primaryShade: 7,
  black: "#241e1a",
  fontFamily: "'Instrument Sans Variable', system-ui, sans-serif",
  headings: {
    fontFamily: "'Instrument Serif', Georgia, serif",
    fontWeight: "400",
    sizes: {
      h1: { fontSize: "clamp(2.4rem, 5vw, 3.5rem)", lineHeight: "1.05" },
      h2: { fontSize: "clamp(1.7rem, 3vw, 2.1rem)", lineHeight: "1.15" },
      h3: { fontSize: "1.4rem", lineHeight: "1.25" },
    },
  },
  defaultRadius: "md",
  cursorType: "pointer",
  focusRing: "auto",
});

export const resolveVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#f8f4ee",
    "--mantine-color-dimmed": "#6a5f55",
    "--mantine-color-placeholder": "#786d62",
    "--mantine-color-anchor": "#9f2f19",
    "--surface": "#fffdf9",
    "--well": "#efe8de",
    "--line": "#e2d9cc",
    "--accent": "#a8321b",
  },
  dark: {
    "--mantine-color-body": "#15110f",
    "--mantine-color-dimmed": "#a99d91",
    "--mantine-color-placeholder": "#94887c",
    "--mantine-color-anchor": "#ff9b7f",
    "--surface": "#1d1815",
    "--well": "#0e0b0a",
    "--line": "#352d27",
    "--accent": "#ff8a69",
  },
});

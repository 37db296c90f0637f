import { ActionIcon, CopyButton } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { type ComponentProps, isValidElement, type ReactNode } from "react";
import Markdown, { type Components, type Options } from "react-markdown";
import { Link } from "react-router";
import remarkGfm from "remark-gfm";
import { slug } from "./markdown";
import classes from "./prose.module.css";

/** A link from one page of docs/ to another. */
const PAGE = /^([\w-]+)\.md(#.*)?$/;

type Plugins = NonNullable<Options["remarkPlugins"]>;

/** Markdown, set to be read. */
export function Prose({ text, remark = [], rehype = [] }: { text: string; remark?: Plugins; rehype?: Plugins }) {
  return (
    <div className={classes.prose}>
      <Markdown remarkPlugins={[remarkGfm, ...remark]} rehypePlugins={rehype} components={COMPONENTS}>
        {text}
      </Markdown>
    </div>
  );
}

const COMPONENTS: Components = {
  a: Anchor,
  h3: ({ children }) => <h3 id={slug(textOf(children))}>{children}</h3>,
  pre: Code,
  span: Formula,
  table: ({ children }) => (
    <Scrolling label="Table">
      <table>{children}</table>
    </Scrolling>
  ),
};

function Anchor({ href = "", children }: ComponentProps<"a">) {
  if (/^https?:/.test(href)) return <a href={href}>{children}</a>;
  const [, page, place = ""] = PAGE.exec(href) ?? [];
  if (page === "math") return <Link to={`/math${place}`}>{children}</Link>;
  return page ? <a href={`/docs/${page}/${place}`}>{children}</a> : children; // what lies outside of docs/ is no page
}

/** KaTeX's displayed formulas are wider than a phone: they scroll by themselves, by keys too. */
function Formula({ node: _, ...props }: ComponentProps<"span"> & { node?: unknown }) {
  if (props.className !== "katex-display") return <span {...props} />;
  return <span {...props} role="group" aria-label="Formula" tabIndex={0} />;
}

function Code({ children }: ComponentProps<"pre">) {
  const text = textOf(children).replace(/\n$/, "");
  return (
    <div className={classes.code}>
      <pre tabIndex={0}>{children}</pre>
      <CopyButton value={text}>
        {({ copied, copy }) => (
          <ActionIcon className={classes.copy} variant="subtle" color="gray" onClick={copy} aria-label={copied ? "Copied" : "Copy"}>
            {copied ? <IconCheck size={16} /> : <IconCopy size={16} stroke={1.6} />}
          </ActionIcon>
        )}
      </CopyButton>
    </div>
  );
}

/** Something that may be wider than the page. */
export function Scrolling({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className={classes.scrolling} role="group" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

function textOf(node: ReactNode): string {
  if (Array.isArray(node)) return node.map(textOf).join("");
  if (isValidElement<{ children?: ReactNode }>(node)) return textOf(node.props.children);
  return typeof node === "string" || typeof node === "number" ? String(node) : "";
}

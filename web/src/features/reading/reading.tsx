import { Title } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import { useLocation } from "react-router";
import { useTitle } from "@/shared/title";
import classes from "./reading.module.css";

type Place = { id: string; title: string };

/** A page to be read: its title, what it is about, and beside it where one is. */
export function Reading({ title, lead, places, children }: { title: string; lead: ReactNode; places: Place[]; children: ReactNode }) {
  useLinkedPlace();
  useTitle(title);
  return (
    <div className={classes.page}>
      <header className={classes.head}>
        <Title order={1}>{title}</Title>
        <div className={classes.lead}>{lead}</div>
      </header>
      <Contents places={places} />
      <div className={classes.body}>{children}</div>
    </div>
  );
}

/** One section; wide things may leave the measure of its text. */
export function Chapter({ id, title, children }: Place & { children: ReactNode }) {
  return (
    <section className={classes.chapter} aria-labelledby={id}>
      <Title order={2} id={id}>
        {title}
      </Title>
      {children}
    </section>
  );
}

function Contents({ places }: { places: Place[] }) {
  const current = useCurrent(places);
  return (
    <nav className={classes.contents} aria-label="On this page">
      {places.map(({ id, title }) => (
        <a key={id} href={`#${id}`} aria-current={id === current ? "location" : undefined}>
          {title}
        </a>
      ))}
    </nav>
  );
}

/** The section that is being read: the last whose heading is above the upper third. */
function useCurrent(places: Place[]): string | undefined {
  const [current, setCurrent] = useState(places[0]?.id);
  useEffect(() => {
    const headings = places.flatMap(({ id }) => document.getElementById(id) ?? []);
    const look = () => {
      const above = headings.filter((heading) => heading.getBoundingClientRect().top < window.innerHeight / 3);
      setCurrent((above.at(-1) ?? headings[0])?.id);
    };
    const watch = new IntersectionObserver(look, { rootMargin: "0px 0px -66% 0px" });
    for (const heading of headings) watch.observe(heading);
    return () => watch.disconnect();
  }, [places]);
  return current;
}

/** The page comes after its address: go to the place that it names once it is there. */
function useLinkedPlace(): void {
  const { hash } = useLocation();
  useEffect(() => {
    if (hash) document.getElementById(decodeURIComponent(hash.slice(1)))?.scrollIntoView();
  }, [hash]);
}

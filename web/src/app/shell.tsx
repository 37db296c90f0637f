import { ActionIcon, Burger, Button, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconMoon, IconSun } from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect } from "react";
import { Link, NavLink, Outlet, ScrollRestoration, useMatch } from "react-router";
import { restoreDraft } from "@/entities/draft/keep";
import { useDeletionOnLeaving } from "@/entities/job/deletion";
import { followJobs, useConnection } from "@/entities/job/live";
import { Again } from "@/features/session/gate";
import { endSession, useSession } from "@/shared/api/session";
import { complain, Notices } from "@/shared/notices";
import classes from "./shell.module.css";

const Menu = lazy(() => import("./menu"));

const PLACES = [
  ["/", "Editor"],
  ["/compare", "Compare"],
  ["/gallery", "Gallery"],
  ["/models", "Models"],
  ["/math", "Math"],
  ["/details", "Details"],
] as const;

/** The frame around every page: where one is, where one can go, and the light. */
export function Shell() {
  useLiveJobs();
  useDeletionOnLeaving();
  useEffect(() => void restoreDraft(), []);
  return (
    <div className={classes.shell}>
      <a className={classes.skip} href="#main">
        Skip to the content
      </a>
      <Header />
      <main id="main" className={classes.main} tabIndex={-1}>
        <Suspense>
          <Outlet />
        </Suspense>
      </main>
      <Notices />
      <Again />
      <ScrollRestoration />
    </div>
  );
}

/** The one stream of this tab, as long as somebody is signed in. */
function useLiveJobs(): void {
  const queries = useQueryClient();
  const session = useSession();
  useEffect(() => (session ? followJobs(queries) : undefined), [queries, session]);
}

function Header() {
  const [open, { toggle, close }] = useDisclosure();
  return (
    <header className={classes.header}>
      <Link to="/" className={classes.brand} aria-label="Darkroom, to the editor">
        <span className={classes.lamp} aria-hidden />
        Darkroom
      </Link>
      <nav className={classes.nav} aria-label="Pages">
        <Places />
      </nav>
      <div className={classes.tools}>
        <Line />
        <SignOut />
        <LightSwitch />
        <Burger className={classes.burger} opened={open} onClick={toggle} size="sm" aria-label="Menu" aria-expanded={open} />
      </div>
      {open && (
        <Suspense>
          <Menu onClose={close}>
            <nav className={classes.drawer} aria-label="Pages">
              <Places onClick={close} />
            </nav>
          </Menu>
        </Suspense>
      )}
    </header>
  );
}

function Places({ onClick }: { onClick?: () => void }) {
  const looking = useMatch("/jobs/:id") !== null; // at an edit, in the editor
  return (
    <>
      {PLACES.map(([to, name]) => (
        <NavLink
          key={to}
          to={to}
          end={to === "/"}
          onClick={onClick}
          className={({ isActive }) => `${classes.place} ${isActive || (looking && to === "/") ? "active" : ""}`}
        >
          {name}
        </NavLink>
      ))}
      <a href="/docs/" className={classes.place}>
        Docs
      </a>
    </>
  );
}

/** Says so when the service cannot be heard. */
function Line() {
  const { state } = useConnection();
  return (
    <span role="status" className={classes.line}>
      {state === "lost" && "Reconnecting …"}
    </span>
  );
}

function SignOut() {
  const session = useSession();
  if (!session?.keys_needed) return null;
  return (
    <Button variant="subtle" color="gray" size="compact-sm" onClick={() => endSession().catch(complain("You could not be signed out:"))}>
      Sign out
    </Button>
  );
}

function LightSwitch() {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light");
  const other = scheme === "dark" ? "light" : "dark";
  return (
    <ActionIcon variant="subtle" color="gray" size="lg" onClick={() => setColorScheme(other)} aria-label={`Switch to ${other}`}>
      {scheme === "dark" ? <IconSun size={19} stroke={1.6} /> : <IconMoon size={19} stroke={1.6} />}
    </ActionIcon>
  );
}

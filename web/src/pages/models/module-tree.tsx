import { useState } from "react";
import { counted, members, type Module, shaped } from "./networks";
import classes from "./models.module.css";

/** A network's modules, each to be opened. */
export function ModuleTree({ of }: { of: Module }) {
  return (
    <ul className={classes.tree}>
      {members(of).map((module) => (
        <Branch key={module.name} module={module} />
      ))}
    </ul>
  );
}

function Branch({ module }: { module: Module }) {
  const [open, setOpen] = useState(false);
  if (!module.parts?.length) {
    return (
      <li className={classes.leaf}>
        <Line module={module} />
      </li>
    );
  }
  return (
    <li>
      <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary className={classes.branch}>
          <Line module={module} />
        </summary>
        {open && <ModuleTree of={module} />}
      </details>
    </li>
  );
}

function Line({ module }: { module: Module }) {
  return (
    <span className={classes.line}>
      <span className={classes.name}>
        {module.name} <span className={classes.kind}>{module.kind}</span>
      </span>
      <span className={classes.note}>{module.note}</span>
      <span className={classes.shape}>{module.shape && shaped(module.shape)}</span>
      <span className={classes.count}>{module.parameters ? counted(module.parameters) : ""}</span>
    </span>
  );
}

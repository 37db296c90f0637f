import { useState } from "react";
import { Control, Figure } from "./figures";
import classes from "./figures.module.css";
import { ALPHAS, alphaAt, levels } from "./schedule";

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [720, 270, 84, 44];
const x = (t: number) => LEFT + ((999 - t) / 999) * (WIDTH - LEFT - 24);
const y = (noise: number) => 20 + (1 - noise) * (HEIGHT - BOTTOM - 20);
const CURVE = ALPHAS.map((a, t) => `${t ? "L" : "M"}${x(t).toFixed(1)} ${y(Math.sqrt(1 - a)).toFixed(1)}`).join("");

/** Which of the thousand levels an edit visits. */
export function LevelsFigure() {
  const [steps, setSteps] = useState(10);
  const [temperature, setTemperature] = useState(1);
  const visited = levels(steps, temperature);
  return (
    <Figure
      controls={
        <>
          <Control label="Steps" shown={String(steps)} value={steps} min={2} max={60} step={1} onChange={setSteps} />
          <Control label="Temperature" shown={temperature.toFixed(2)} value={temperature} min={0.1} max={1} step={0.01} onChange={setTemperature} />
        </>
      }
      caption="The curve is the amount of noise in the latents. Each dot is one pass through the network. A lower temperature skips the noisy end and spends all steps on what is left."
    >
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${steps} levels, from step ${Math.round(visited[0] ?? 0)} down`}>
        <line className={classes.axis} x1={LEFT} x2={WIDTH - 24} y1={y(0)} y2={y(0)} />
        <line className={classes.grid} x1={LEFT} x2={WIDTH - 24} y1={y(1)} y2={y(1)} />
        <path className={classes.curve} d={CURVE} />
        {visited.map((t, i) => (
          <circle key={i} className={classes.dot} cx={x(t)} cy={y(Math.sqrt(1 - alphaAt(t)))} r={steps > 30 ? 3 : 4.5} />
        ))}
        <text className={classes.words} x={LEFT - 10} y={y(1) + 4} textAnchor="end">
          noise
        </text>
        <text className={classes.words} x={LEFT - 10} y={y(0) + 4} textAnchor="end">
          clean
        </text>
        {[999, 750, 500, 250, 0].map((t) => (
          <text key={t} className={classes.words} x={x(t)} y={HEIGHT - 16} textAnchor="middle">
            {t === 999 ? "t = 999" : t}
          </text>
        ))}
      </svg>
    </Figure>
  );
}

/** Undo and redo of everything: the projects there were, what changed between them, and where. */

import { type Project, type Thing, type Prompt, thingsOf, withThings, withoutImage } from "./project.ts";

export interface Step {
  /** The project on the other side of the step. */
  readonly project: Project;
  /** The image that was changed, to show it again; null for classes. */
  readonly image: string | null;
  /** What was done, as a key of the words. */
  readonly what: string;
  /** What the step did outside of the project. */
  readonly effect?: Effect;
}

/** Something that was done to the folder, and can be taken back and done again. */
export interface Effect {
  undo(): Promise<void>;
  redo(): Promise<void>;
}

export interface History {
  readonly past: readonly Step[];
  readonly present: Project;
  readonly future: readonly Step[];
}

const LONGEST = 500;

export function begin(project: Project): History {
  return { past: [], present: project, future: [] };
}

/** Makes a change; what had been undone before is gone. */
export function commit(
  history: History,
  project: Project,
  image: string | null,
  what: string,
  effect?: Effect,
): History {
  if (project === history.present) return history;
  const step: Step = { project: history.present, image, what, ...(effect ? { effect } : {}) };
  const past = [...history.past, step].slice(-LONGEST);
  return { past, present: project, future: [] };
}

export function undo(history: History): History {
  const step = history.past.at(-1);
  if (!step) return history;
  return {
    past: history.past.slice(0, -1),
    present: step.project,
    future: [...history.future, { ...step, project: history.present }],
  };
}

export function redo(history: History): History {
  const step = history.future.at(-1);
  if (!step) return history;
  return {
    past: [...history.past, { ...step, project: history.present }],
    present: step.project,
    future: history.future.slice(0, -1),
  };
}

/** Changes every project there was and is alike: no step, but what was true all the time. */
export function amend(history: History, edit: (project: Project) => Project): History {
  const seen = new Map<Project, Project>();
  const once = (project: Project): Project => {
    const known = seen.get(project);
    if (known) return known;
    const edited = edit(project);
    seen.set(project, edited);
    return edited;
  };
  const steps = (all: readonly Step[]): readonly Step[] =>
    all.map((step) => ({ ...step, project: once(step.project) }));
  return {
    past: steps(history.past),
    present: once(history.present),
    future: steps(history.future),
  };
}

/** Puts what an image has been found to hold wherever it was not loaded yet. */
export function load(history: History, image: string, things: readonly Thing[]): History {
  return amend(history, (project) =>
    image in project.images ? project : withThings(project, image, things),
  );
}

/** Forgets an image, and all steps on it. */
export function forget(history: History, image: string): History {
  const others = (steps: readonly Step[]): readonly Step[] => steps.filter((step) => step.image !== image);
  return amend({ ...history, past: others(history.past), future: others(history.future) }, (project) =>
    image in project.images || image in project.candidates ? withoutImage(project, image) : project,
  );
}

/** Puts an answer wherever a thing has the very prompt that it answers. */
export function settle(
  history: History,
  image: string,
  id: string,
  prompt: Prompt,
  edit: (thing: Thing) => Thing,
): History {
  const edited = new Map<readonly Thing[], readonly Thing[]>(); // so that what was shared stays shared
  return amend(history, (project) => {
    const before = thingsOf(project, image);
    if (!before.some((thing) => thing.id === id && thing.prompt === prompt)) return project;
    let after = edited.get(before);
    if (!after) {
      after = before.map((thing) => (thing.id === id && thing.prompt === prompt ? edit(thing) : thing));
      edited.set(before, after);
    }
    return withThings(project, image, after);
  });
}

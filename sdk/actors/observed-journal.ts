/** A journal that tells what was loaded, and of each commit once it is durable. Everything else goes to the one below. */
import type { BatchRows, CommitAnswer, LoadedState } from "../../runtime/journal/batch-rows.ts";
import type { Journal } from "../../runtime/journal/journal-port.ts";

export interface JournalObserver {
  loaded?(state: LoadedState): void;
  committed(batch: BatchRows): void;
}

export function observed(journal: Journal, observer: JournalObserver): Journal {
  const load: Journal["load"] = async () => {
    const state = await journal.load();
    observer.loaded?.(state);
    return state;
  };
  const commit: Journal["commit"] = async (...parameters): Promise<CommitAnswer> => {
    const answer = await journal.commit(...parameters);
    observer.committed(parameters[0]);
    return answer;
  };
  return new Proxy(journal, {
    get(target, name) {
      if (name === "load") return load;
      if (name === "commit") return commit;
      const value: unknown = Reflect.get(target, name, target);
      // Its methods reach private fields, which a proxy has not.
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

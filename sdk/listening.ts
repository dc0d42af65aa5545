/** Does anybody listen at a Unix socket? */
import { connect as connectSocket } from "node:net";

const TIMEOUT_MS = 5000;

export function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(path);
    const timer = setTimeout(() => answer(false), TIMEOUT_MS);
    const answer = (listening: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(listening);
    };
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}

/** Takes the lock whose path is given, says so, and keeps it until it is killed. */
import { takeStartLock } from "../../app/daemon/start-lock.ts";

takeStartLock(process.argv[2] ?? "", 1000);
process.stdout.write("held\n");
setInterval(() => undefined, 1000);

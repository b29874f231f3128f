// Processor time and memory, as the kernel counts them in /proc.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const TICKS = Number(execFileSync('getconf', ['CLK_TCK']));

/** Fields of /proc/PID/stat behind the name, which may hold blanks: [0] is the state. Nothing if the process is gone. */
function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

const own = fields => Number(fields[11]) + Number(fields[12]);
const ofEnded = fields => Number(fields[13]) + Number(fields[14]);

/** Seconds that a process used by itself. */
export const cpu = pid => { const fields = stat(pid); return fields ? own(fields) / TICKS : 0; };

/** Seconds that a process, its living children, and its ended children used. */
export function cpuOfFamily(pid) {
  const parent = stat(pid);
  if (!parent) return 0;
  let ticks = own(parent) + ofEnded(parent);
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const fields = stat(entry);
    if (fields && fields[1] === String(pid)) ticks += own(fields);
  }
  return ticks / TICKS;
}

/** Seconds that all processors together were busy, time stolen by the host included. */
export function busy() {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS;
}

/** Resident memory in MiB: now, and the most it ever was. */
export function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mib = name => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)[1]) / 1024;
  return { now: mib('VmRSS'), peak: mib('VmHWM') };
}

/** What there is to say about the machine. */
export function machine() {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const model = /^model name\s*:\s*(.*)$/m.exec(info)?.[1] ?? 'unknown processor';
  const cores = (info.match(/^processor\s*:/gm) ?? []).length;
  const gib = Number(/^MemTotal:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))[1]) / 1024 / 1024;
  const kernel = execFileSync('uname', ['-sr']).toString().trim();
  return `${cores} cores (${model}), ${gib.toFixed(0)} GiB, ${kernel}`;
}

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

/** Waits until less than `share` of a core is busy for two seconds, at most `seconds`. */
export async function quiet(seconds, share = 0.1) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    const before = busy();
    await sleep(2000);
    if ((busy() - before) / 2 <= share) return;
  }
}

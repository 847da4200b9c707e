/** Child processes that do not outlive the program that started them, however it ends. */
import { find } from './programs.ts'

const SETPRIV = find('setpriv')

/**
 * Command and arguments of a process that the kernel ends when its parent has ended, by SIGKILL too (PR_SET_PDEATHSIG,
 * prctl(2)). setpriv replaces itself by the command: the process id stays. Where there is no setpriv (macOS), the
 * command as it is.
 *
 * @param signal TERM for what has to end processes of its own; default: KILL
 */
export function mortal(command: string, arguments_: readonly string[], signal = 'KILL'): [string, string[]] {
  if (SETPRIV === undefined) return [command, [...arguments_]]
  return [SETPRIV, ['--pdeathsig', signal, '--', command, ...arguments_]]
}

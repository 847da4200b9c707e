/** Commands of a page, run as a person runs them: in a shell, in the root of the repository. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execute } from './execute.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Shell {
  /** What the command printed; throws when it fails. */
  run(command: string): Promise<string>
  close(): void
}

/**
 * A shell with a kubeconfig of its own, which commands may change.
 *
 * @param shims scripts by the name of the program that they stand for
 */
export async function openShell(shims: Readonly<Record<string, string>> = {}): Promise<Shell> {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-shell-'))
  for (const [name, script] of Object.entries(shims)) {
    writeFileSync(join(folder, name), `#!/bin/sh\nset -eu\n${script}`)
    chmodSync(join(folder, name), 0o755)
  }
  const kubeconfig = join(folder, 'kubeconfig')
  writeFileSync(kubeconfig, await execute('kubectl', ['config', 'view', '--raw', '--flatten']), { mode: 0o600 })
  const env = { PATH: `${folder}:${process.env.PATH}`, KUBECONFIG: kubeconfig }
  return {
    run: (command) => execute('sh', ['-euc', command], { cwd: ROOT, env }),
    close: () => rmSync(folder, { recursive: true }),
  }
}

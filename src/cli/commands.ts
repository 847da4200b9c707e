/** Does every command but `run`, which is the supervisor's. */
import { readFileSync } from 'node:fs'
import type { Validator } from '../api/validate.ts'
import { helpText } from './help.ts'
import type { CommandIo } from './io.ts'
import type { Command, RunCommand } from './parse.ts'

/** @returns the exit code: 0 well, 1 at fault, 2 not understood */
export async function runCommand(command: Exclude<Command, RunCommand>, io: CommandIo): Promise<number> {
  switch (command.name) {
    case 'help':
      io.out(helpText(command.topic))
      return 0
    case 'usage':
      io.err(`headgate: ${command.message}\n`)
      return 2
    case 'version':
      io.out(`headgate ${packageVersion()}, Node.js ${process.version}\n`)
      return 0
    // Loaded only where needed: `version` and `help` answer at once, and `run` carries none of it.
    case 'validate': {
      const { validate } = await import('./validate.ts')
      return validate(command, await loadValidator(), io)
    }
    case 'routes': {
      const { showRoutes } = await import('./routes.ts')
      return showRoutes(command, await loadValidator(), io)
    }
    case 'config': {
      const { showConfig } = await import('./settings.ts')
      return showConfig(command, await loadValidator(), io)
    }
  }
}

let validator: Promise<Validator> | undefined

/** Once a process: reading the schemas is most of what a command does. */
function loadValidator(): Promise<Validator> {
  validator ??= makeValidator()
  return validator
}

async function makeValidator(): Promise<Validator> {
  const { createValidator } = await import('../api/validate.ts')
  const { readSchemas } = await import('../source/crds.ts')
  return createValidator(readSchemas())
}

/** Of the package this file is in, from `src/cli/` as from `dist/cli/`. */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return String((manifest as { version?: unknown }).version)
}

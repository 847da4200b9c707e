/** Runs every command except `run`, which belongs to the supervisor. */
import { readFileSync } from 'node:fs'
import type { Validator } from '../api/validate.ts'
import { helpText } from './help.ts'
import type { CommandIo } from './io.ts'
import type { Command, RunCommand } from './parse.ts'

/** @returns the exit code: 0 success, 1 errors found, 2 invalid command line */
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
    // Loaded on demand, so that `version` and `help` start fast and `run` does not load it.
    case 'validate': {
      const { validate } = await import('./validate.ts')
      return validate(command, await loadValidator(), io)
    }
    case 'routes': {
      const { showRoutes } = await import('./routes.ts')
      return showRoutes(command, await loadValidator(), io)
    }
    case 'backends': {
      const { showBackends } = await import('./backends.ts')
      return showBackends(command, io)
    }
    case 'config': {
      const { showConfig } = await import('./config.ts')
      return showConfig(command, await loadValidator(), io)
    }
    case 'cert': {
      const { makeCertificates } = await import('./cert.ts')
      return makeCertificates(command, io)
    }
    case 'cache': {
      const { CACHE_IO, runCache } = await import('./cache.ts')
      return runCache(command, { ...CACHE_IO, ...io })
    }
    case 'explain': {
      const { TOKEN_IO } = await import('./admin-token.ts')
      const { explain } = await import('./explain.ts')
      return explain(command, { ...TOKEN_IO, ...io })
    }
    case 'token': {
      const { makeTokenSecrets } = await import('./token.ts')
      return makeTokenSecrets(command, { ...io, in: () => readFileSync(0, 'utf8') }, Date.now())
    }
  }
}

let validator: Promise<Validator> | undefined

/** Created once per process, because reading the schemas takes most of the time of a command. */
function loadValidator(): Promise<Validator> {
  validator ??= makeValidator()
  return validator
}

async function makeValidator(): Promise<Validator> {
  const { createValidator } = await import('../api/validate.ts')
  const { readSchemas } = await import('../source/crds.ts')
  return createValidator(readSchemas())
}

/** Reads the version of the package that contains this file, in `src/cli/` or in `dist/cli/`. */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return String((manifest as { version?: unknown }).version)
}

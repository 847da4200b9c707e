/**
 * The process: reads the command line and hands over, to the supervisor or to one of the commands that look and leave.
 */
import { enableCompileCache } from 'node:module'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

// One pool serves all threads: files, names and compression must not wait for each other. It is made at its first use.
process.env.UV_THREADPOOL_SIZE ??= String(Math.max(8, availableParallelism() * 2))

// From sources, half of a start is taking types out; the result is kept where only who may change the sources may
// write. Other threads read the variable when they start.
if (import.meta.url.endsWith('.ts')) {
  process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../node_modules/.cache/headgate', import.meta.url))
  enableCompileCache(process.env.NODE_COMPILE_CACHE)
}

const { parseCommand } = await import('./cli/parse.ts')
const command = parseCommand(process.argv.slice(2))
// Loaded as needed: a gateway that starts has no use for what validates and prints, nor they for it.
if (command.name === 'run') {
  const { run } = await import('./supervisor/run.ts')
  await run({ command })
} else {
  const { runCommand } = await import('./cli/commands.ts')
  process.exitCode = await runCommand(command, {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    budget: async (settings) => (await import('./supervisor/memory-limit.ts')).folderBudget(settings),
  })
}

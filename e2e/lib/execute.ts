/** Programs run to their end, with their output. */
import { spawn } from 'node:child_process'

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface ExecuteOptions {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Milliseconds; then the program is killed and counts as failed. 5 minutes if not said. */
  readonly timeout?: number
}

/** Runs a program and hands back how it ended; never throws for an exit code. */
export function attempt(program: string, args: readonly string[], options: ExecuteOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: options.timeout ?? 300_000,
      killSignal: 'SIGKILL',
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
    })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
    child.on('error', reject)
    child.on('close', (code, signal) =>
      resolve({
        code: code ?? 128,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString() + (signal === null ? '' : `\nended by ${signal}`),
      }),
    )
    // A program that ends before it has read everything: its exit code says what is to be said.
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
  })
}

/** Runs a program that must succeed; its standard output. Throws with the end of what it said. */
export async function execute(program: string, args: readonly string[], options: ExecuteOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await attempt(program, args, options)
  if (code === 0) return stdout
  const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-15).join('\n')
  throw new Error(`${program} ${args.slice(0, 6).join(' ')}: exit code ${code}\n${said}`)
}

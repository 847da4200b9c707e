/** Load clients of this folder, each a program that takes its options as JSON. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { find } from './programs.ts'

/** @param cpu that it runs on */
export function startClient(name: string, cpu: number | undefined, options: object): ChildProcess {
  const path = new URL(`${name}.ts`, import.meta.url).pathname
  const pin = cpu === undefined ? [] : [find('taskset')!, '-c', String(cpu)]
  const [command, ...rest] = [...pin, process.execPath, path, JSON.stringify(options)]
  return spawn(command!, rest, { stdio: ['pipe', 'pipe', 'inherit'] })
}

/** @returns what it prints as its last line */
export async function runClient<T>(name: string, cpu: number | undefined, options: object): Promise<T> {
  const child = startClient(name, cpu, options)
  let output = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  await once(child, 'close')
  const line = output.trim().split('\n').at(-1) ?? ''
  if (!line.startsWith('{')) throw new Error(`${name} ended without a result`)
  return JSON.parse(line) as T
}

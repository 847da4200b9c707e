/** The control group that holds every pod of one cluster, in each hierarchy of this machine. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterLayout } from './cluster-layout.ts'

const ROOT = '/sys/fs/cgroup'

/** With one hierarchy (version 2) the group is at the root; with one per controller, in each of them. */
function groupsOf(layout: ClusterLayout): string[] {
  if (existsSync(join(ROOT, 'cgroup.controllers'))) return [join(ROOT, layout.name)]
  return readdirSync(ROOT)
    .map((controller) => join(ROOT, controller))
    .filter((folder) => existsSync(join(folder, 'cgroup.procs')))
    .map((folder) => join(folder, layout.name))
}

export function createGroup(layout: ClusterLayout): void {
  for (const group of groupsOf(layout)) {
    mkdirSync(group, { recursive: true })
    // Version 1: a set of processors without any takes no process.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (existsSync(join(group, 'cpuset.sched_load_balance'))) {
        writeFileSync(join(group, file), readFileSync(join(group, '..', file), 'utf8'))
      }
    }
  }
}

export function processesOf(layout: ClusterLayout): number[] {
  return groupsOf(layout)
    .flatMap((group) => foldersBelow(group))
    .flatMap((folder) => readLines(join(folder, 'cgroup.procs')))
    .map(Number)
}

/** Removes the group; only when no process is left in it. */
export function removeGroup(layout: ClusterLayout): void {
  for (const group of groupsOf(layout)) {
    for (const folder of foldersBelow(group).reverse()) rmdirSync(folder)
  }
}

/** The folder and all below it, outermost first. */
function foldersBelow(folder: string): string[] {
  if (!existsSync(folder)) return []
  const inner = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return [folder, ...inner.flatMap((entry) => foldersBelow(join(folder, entry.name)))]
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
  } catch {
    return []
  }
}

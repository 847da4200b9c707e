import type { Validator } from '../api/validate.ts'
import { loadManifests } from '../source/folder/load-manifests.ts'
import { systemTimers } from '../thread/system-timers.ts'
import { settingsOf } from './config.ts'
import { examine } from './examine.ts'
import { type Finding, formatFinding, fromSettings, fromSource, sortFindings } from './finding.ts'
import { type CommandIo, fileBounds } from './io.ts'
import type { ValidateCommand } from './parse.ts'

/** `headgate validate`: exit code 0 without errors (warnings are permitted), 1 otherwise. */
export async function validate(command: ValidateCommand, validator: Validator, io: CommandIo): Promise<number> {
  const findings: Finding[] = []
  const composed = await settingsOf(command.settings, [], validator)
  if (composed.ok) findings.push(...composed.warnings.map((problem) => fromSettings('warning', problem)))
  else findings.push(...composed.problems.map((problem) => fromSettings('error', problem)))
  // With invalid settings the manifests are validated against the default settings.
  const settings = composed.ok ? composed : await settingsOf(undefined, [], validator)
  if (!settings.ok) throw new TypeError('the schema rejects its own defaults')
  const loaded = await loadManifests(command.paths, systemTimers, await fileBounds(io, command.settings))
  findings.push(...loaded.problems.map(fromSource))
  const examined = await examine(loaded.objects, settings.settings, validator)
  findings.push(...examined.findings)

  const sorted = sortFindings(findings)
  const errors = sorted.filter((finding) => finding.severity === 'error').length
  const warnings = sorted.length - errors
  if (command.output === 'json') {
    const report = { files: loaded.files, objects: loaded.objects.length, errors, warnings, findings: sorted }
    io.out(`${JSON.stringify(report, null, 2)}\n`)
  } else {
    for (const finding of sorted) io.out(`${formatFinding(finding)}\n`)
    io.out(`${summary(loaded.files, loaded.objects.length, errors, warnings)}\n`)
  }
  return errors === 0 ? 0 : 1
}

function summary(files: number, objects: number, errors: number, warnings: number): string {
  const read = `${count(objects, 'object')} in ${count(files, 'file')}`
  if (errors === 0 && warnings === 0) return objects === 0 ? `${read}: nothing to serve.` : `${read}: all valid.`
  const parts = [errors > 0 ? count(errors, 'error') : '', warnings > 0 ? count(warnings, 'warning') : '']
  return `${read}: ${parts.filter((part) => part !== '').join(', ')}.`
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

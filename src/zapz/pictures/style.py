"""The CSS of all pages: light or dark, as set in the notebook, the editor, or else the system."""

from __future__ import annotations

_LIGHT = """
    --zapz-text: var(--jp-content-font-color1, var(--vscode-editor-foreground, #1b1f24));
    --zapz-soft: var(--jp-content-font-color2, var(--vscode-descriptionForeground, #59636e));
    --zapz-line: var(--jp-border-color2, var(--vscode-editorWidget-border, #d5dae0));
    --zapz-row: #8883; --zapz-there: #2f9e5b; --zapz-part: #e0a100; --zapz-gone: #d6473a;
    --zapz-old: #b3bac3; --zapz-copied: #2f9e5b; --zapz-joined: #1f9aa8; --zapz-encoded: #e8871e;
    --zapz-boundary: #f3e4c8; --zapz-ink: #8a4b00; --zapz-core: #fff; --zapz-page: #fff;
    --zapz-warn: #8a4b00; --zapz-warned: #fff3dc;
"""
_DARK = """
    --zapz-text: var(--jp-content-font-color1, var(--vscode-editor-foreground, #e6e9ed));
    --zapz-soft: var(--jp-content-font-color2, var(--vscode-descriptionForeground, #9aa5b1));
    --zapz-line: var(--jp-border-color2, var(--vscode-editorWidget-border, #3a424c));
    --zapz-row: #8882; --zapz-there: #3fb56d; --zapz-part: #e3b341; --zapz-gone: #f0655a;
    --zapz-old: #59626d; --zapz-copied: #3fb56d; --zapz-joined: #3cc3d2; --zapz-encoded: #f09a3e;
    --zapz-boundary: #4d3a1c; --zapz-ink: #f0b35f; --zapz-core: #14181d; --zapz-page: #14181d;
    --zapz-warn: #f0b35f; --zapz-warned: #3a2c14;
"""
_DARK_HOSTS = '[data-jp-theme-light="false"], html[data-theme="dark"], body.vscode-dark'
_LIGHT_HOSTS = '[data-jp-theme-light="true"], html[data-theme="light"], body.vscode-light'

_THEMES = f"""
.zapz {{{_LIGHT}}}
@media (prefers-color-scheme: dark) {{ .zapz {{{_DARK}}} }}
:is({_LIGHT_HOSTS}) .zapz {{{_LIGHT}}}
:is({_DARK_HOSTS}) .zapz {{{_DARK}}}
"""
_RULES = """
.zapz-text { display: none; }
.zapz { display: block !important; color: var(--zapz-text); max-width: 960px;
    font: 13px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
.zapz * { box-sizing: border-box; }
.zapz header { border-bottom: 1px solid var(--zapz-line); padding: 2px 0 6px; margin-bottom: 6px; }
.zapz header .zapz-what { color: var(--zapz-soft); margin-right: 6px; }
.zapz header .zapz-name { font-weight: 600; overflow-wrap: anywhere; }
.zapz header .zapz-facts { color: var(--zapz-soft); }
.zapz details { margin: 2px 0; }
.zapz summary { cursor: pointer; padding: 2px 0; font-weight: 600; }
.zapz summary .zapz-aside { font-weight: 400; color: var(--zapz-soft); margin-left: 8px; }
.zapz .zapz-body { padding: 2px 0 8px 16px; overflow-x: auto; }
.zapz p { margin: 2px 0 6px; }
.zapz ul { margin: 2px 0 6px; padding-left: 18px; }
.zapz table { border-collapse: collapse; font-size: 12px; margin: 2px 0 4px; color: inherit; }
.zapz th, .zapz td { text-align: left !important; vertical-align: top; padding: 3px 12px 3px 0; border: 0; }
.zapz thead th { color: var(--zapz-soft); font-weight: 400; border-bottom: 1px solid var(--zapz-line); }
.zapz tbody tr, .zapz tbody tr:nth-child(odd) { background: transparent; }
.zapz tbody tr + tr td { border-top: 1px solid var(--zapz-row); }
.zapz .zapz-plain td { white-space: nowrap; }
.zapz .zapz-stored td:nth-child(5) { white-space: normal; min-width: 11em; }
.zapz td:first-child { font-weight: 600; }
.zapz code { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    background: none; color: inherit; padding: 0; }
.zapz svg { display: block; overflow: visible; }
.zapz .zapz-timeline rect { shape-rendering: crispEdges; }
.zapz svg text { fill: var(--zapz-soft); font: 11px system-ui, -apple-system, "Segoe UI", Arial, sans-serif; }
.zapz .zapz-timeline { width: 100%; max-width: 720px; margin-bottom: 4px; }
.zapz .zapz-grid { max-width: 100%; margin: 2px 0; }
.zapz-there { fill: var(--zapz-there); } .zapz-part { fill: var(--zapz-part); } .zapz-gone { fill: var(--zapz-gone); }
.zapz-old { fill: var(--zapz-old); } .zapz-copied { fill: var(--zapz-copied); }
.zapz-joined { fill: var(--zapz-joined); } .zapz-encoded { fill: var(--zapz-encoded); }
.zapz-boundary { fill: var(--zapz-boundary); stroke: var(--zapz-ink); }
.zapz-empty { fill: none; stroke: var(--zapz-old); stroke-dasharray: 2 2; }
.zapz-hatch { stroke: var(--zapz-ink); stroke-width: 1.4; fill: none; }
.zapz-joined + .zapz-hatch, .zapz-joined ~ .zapz-hatch { stroke: var(--zapz-core); }
.zapz-core { fill: var(--zapz-core); }
.zapz .zapz-legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 4px 0; color: var(--zapz-soft); font-size: 12px; }
.zapz .zapz-key { display: inline-flex; align-items: center; gap: 6px; }
.zapz .zapz-key svg { width: 12px; height: 12px; }
.zapz .zapz-images { display: flex; flex-wrap: wrap; gap: 12px 20px; }
.zapz figure { margin: 0; max-width: 100%; }
.zapz .zapz-image { display: block; image-rendering: pixelated; width: 256px; max-width: 100%; border: 1px solid var(--zapz-line);
    background: repeating-conic-gradient(var(--zapz-row) 0 25%, transparent 0 50%) 0 0 / 12px 12px; }
.zapz figcaption { font-size: 12px; margin-top: 4px; color: var(--zapz-soft); max-width: 256px; }
.zapz figcaption b { color: var(--zapz-text); }
.zapz .zapz-warning { color: var(--zapz-warn); background: var(--zapz-warned); border-radius: 4px; padding: 4px 8px; margin: 4px 0; }
.zapz .zapz-bar { height: 6px; width: 256px; max-width: 100%; }
"""
CSS = _THEMES + _RULES
"""Style of ``page.fragment``. All classes begin with ``zapz``, so that nothing else in a notebook
changes."""
PAGE = """
html { color-scheme: light dark; background: #fff; }
@media (prefers-color-scheme: dark) { html { background: #14181d; } }
body { margin: 24px auto; padding: 0 16px; max-width: 992px; }
"""
"""Style of a complete page."""

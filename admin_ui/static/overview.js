// The overview's charts, drawn again whenever their part of the page is new.
import { drawAll } from "./charts.js";
import "./live.js";

drawAll();
addEventListener("placed", (event) => drawAll(event.detail));

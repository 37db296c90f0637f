import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";
import "./page.css";

// Swagger UI has a dark look under this class; the site's choice of light stands on <html> already (scheme.js).
const isDark = document.documentElement.getAttribute("data-mantine-color-scheme") === "dark";
document.documentElement.classList.toggle("dark-mode", isDark);

SwaggerUI({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, tryItOutEnabled: true });
